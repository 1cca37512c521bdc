"""Cartoon or photo from the first layers of Inception-v3: small, and it knows many sources.

The released weights were taught by a large network on pictures of many sources (card.md). A user's
own pictures are few, and alike: so what training on them finds is followed half of the way, and
when an answer is sure is decided by pictures of sources that networks like it had not seen, too.
"""

from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import pandas as pd
from keras import layers
from pydantic import Field

from celflow import metrics
from celflow.errors import UserError
from celflow.params import Share, UserPath
from stages.models.common import calibration, keras_files, released_weights
from stages.models.common.calibration import Calibration
from stages.models.common.compact_network import network
from stages.models.common.config import NetworkConfig
from stages.models.common.image_ops import read_pixels
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.keras_files import MODEL_FILE
from stages.models.common.model import Log, Splits
from stages.models.common.training_loop import predict_on

RELEASED = Path(__file__).parent / "released.npz"
LEFT_OUT = Path(__file__).parent / "left_out.csv"
LABELS = ["cartoon", "photo"]  # what the released weights know


class PhotoCompactConfig(NetworkConfig):
    """Settings of the compact network."""

    init: UserPath
    image_size: Annotated[int, Field(ge=75, le=1024)]  # Inception-v3 takes no less
    epochs: Annotated[int, Field(ge=0)]
    trained_share: Share


class PhotoCompact(KerasClassifier[PhotoCompactConfig]):
    """Inception-v3 to mixed2, two separable convolutions, and means over places."""

    config_class = PhotoCompactConfig
    tasks = ("cartoon_or_photo",)

    def build(self, splits: Splits) -> keras.Model:
        """The network with the weights of `init`.

        Means and variances that come with weights (batch normalisation) stay as they are: those of
        a few pictures would displace what was learnt.

        Raises:
            UserError: there are no such weights, or they are of another network or other classes.
        """
        config, labels = self.config, splits["train"].labels
        model = network(config.image_size, config.dropout)
        if config.init == "released" and labels != LABELS:
            raise UserError(
                f"train.{self.name}.init: released tells {' from '.join(LABELS)}, not "
                f"{', '.join(labels)}; take init: none"
            )
        released_weights.load(model, config.init, RELEASED, f"train.{self.name}.init")
        if config.init != "none":
            for layer in model.layers:
                if isinstance(layer, layers.BatchNormalization):
                    layer.trainable = False
        return model

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Train; then take the weights a `trained_share` of the way from the first to the trained.

        Halfway, networks know other sources as well as the first one, and the user's own as well as
        the trained one (Wortsman et al. 2022, WiSE-FT, section 3). Where their loss on val is not
        less than with the first weights, those stay.
        """
        super().fit(splits, folder, checkpoint_dir, log)
        config, val = self.config, splits["val"]
        if config.init == "none" or config.epochs == 0:
            return
        model = keras_files.load(folder)
        end, start = model.get_weights(), self.build(splits).get_weights()
        if not len(val):
            model.set_weights(between(start, end, config.trained_share))
            keras_files.save(model, folder / MODEL_FILE)
            return
        pixels = read_pixels(val.paths, config.image_size)

        def measure(share: float) -> dict[str, float]:
            model.set_weights(between(start, end, share))
            scores = predict_on(model, pixels)
            return {
                "val_loss": metrics.log_loss(val.truth, scores),
                "val_accuracy": metrics.accuracy(val.truth, scores),
                "trained_share": share,
            }

        best = min((measure(share) for share in (0.0, config.trained_share)), key=_val_loss)
        model.set_weights(between(start, end, best["trained_share"]))
        keras_files.save(model, folder / MODEL_FILE)
        log(config.epochs, best)

    def load_calibration(self, folder: Path) -> Calibration:
        """By the user's validation pictures, and with `init: released` by left_out.csv, too.

        The user's own pictures are alike, and would promise too much for others.
        """
        if self.config.init != "released":
            return super().load_calibration(folder)
        left_out = pd.read_csv(LEFT_OUT).drop(columns="source")
        raw = pd.concat([left_out, calibration.read_validation(folder)])
        truth = raw.pop("truth").to_numpy()
        unsure = self.params.evaluate.unsure
        return calibration.fit(truth, raw.to_numpy(np.float32), unsure, biased=True)


def between(start: list[np.ndarray], end: list[np.ndarray], share: float) -> list[np.ndarray]:
    """Weights that lie a `share` of the way, 0 to 1, from `start` to `end`."""
    return [a + (share * (b - a)).astype(a.dtype) for a, b in zip(start, end, strict=True)]


def _val_loss(measured: dict[str, float]) -> float:
    return measured["val_loss"]
