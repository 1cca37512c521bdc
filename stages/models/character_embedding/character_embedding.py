"""Face encodings: who is it, or nobody known.

A network puts faces of one character near to each other on the unit sphere, and those of others
far away (large-margin cosine loss: Wang et al. 2018, CosFace, eq. 4). A character is the mean of
the encodings of its faces, so a new one needs a few faces and no training.

The released weights were taught on many characters (card.md): as they are they know those of a user
from a few faces of each. Where they are trained further, or from nothing, some faces are recoloured
and learnt as characters of their own: few characters teach little of what tells a new one apart.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
from keras import layers
from pydantic import Field

from celflow.errors import UserError
from celflow.params import UserPath
from stages.models.character_embedding import network
from stages.models.character_embedding.cosine_layers import Cosines, MarginLoss, UnitLength
from stages.models.character_embedding.gallery import Gallery, mean_directions
from stages.models.character_embedding.known_curve import (
    Asked,
    known_curve,
    left_out,
    without_itself,
)
from stages.models.character_embedding.recogniser import Encoder, Recogniser
from stages.models.character_embedding.recolour import TURNS, recoloured
from stages.models.common import keras_files
from stages.models.common.calibration import Calibration
from stages.models.common.config import NetworkConfig
from stages.models.common.image_ops import read_pixels
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.keras_files import MODEL_FILE
from stages.models.common.mirrored import mirrored
from stages.models.common.model import Log, Splits
from stages.models.common.training_batches import Relabel
from stages.models.common.training_loop import predict_on


class CharacterEmbeddingConfig(NetworkConfig):
    """Settings of the face encodings."""

    init: UserPath
    image_size: Annotated[int, Field(ge=75, le=1024)]  # Inception-v3 takes no less
    epochs: Annotated[int, Field(ge=0)]
    recoloured: Annotated[float, Field(ge=0, lt=1)]
    false_alarms: Annotated[float, Field(gt=0, lt=1)]
    margin: Annotated[float, Field(ge=0, lt=1)]
    sharpness: Annotated[float, Field(gt=0, le=100)]


class CharacterEmbedding(KerasClassifier[CharacterEmbeddingConfig]):
    """An encoder of faces, and a gallery of the characters that are known."""

    config_class = CharacterEmbeddingConfig
    tasks = ("characters",)
    is_calibrated = False  # the gallery has a curve of its own

    def build(self, splits: Splits) -> keras.Model:
        """Encoder and cosine classes, which begin at the means of its encodings.

        Where faces are recoloured, each turn of each character is a class, after those of the turn
        before. Means and variances that come with weights (batch normalisation) stay as they are.
        """
        config, train = self.config, splits["train"]
        encoder = network.encoder(config.image_size, config.dropout)
        network.load(encoder, config.init, f"train.{self.name}.init")
        if config.init != "none":
            for layer in encoder.layers:
                if isinstance(layer, layers.BatchNormalization):
                    layer.trainable = False
        pixels = read_pixels(train.paths, config.image_size)
        turns = [pixels]
        if config.epochs > 0 and config.recoloured > 0:
            turns += [np.stack([recoloured(f, turn) for f in pixels]) for turn in range(1, TURNS)]
        classes = len(train.labels)
        means = [mean_directions(predict_on(encoder, faces), train.truth) for faces in turns]
        head = Cosines(classes * len(turns), config.sharpness)
        model = keras.Model(encoder.input, head(encoder.output))
        head.set_weights([np.concatenate(means)])
        return model

    def loss(self) -> keras.losses.Loss:
        """The large-margin cosine loss."""
        config = self.config
        return MarginLoss(config.sharpness * config.margin, config.label_smoothing)

    def relabel(self, labels: list[str]) -> Relabel | None:
        """A share of the faces is learnt in other colours, as characters of their own."""
        if self.config.recoloured == 0:
            return None
        return partial(recolour, share=self.config.recoloured, classes=len(labels))

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Train the encoder on the faces of train, stop by those of val; enroll all of train."""
        super().fit(splits, folder, checkpoint_dir, log)
        train = splits["train"]
        trained = keras_files.load(folder)
        encoder = keras.Model(trained.input, trained.layers[-1].input)
        both = mirrored(encoder)
        encoder = keras.Model(encoder.input, UnitLength()(both(encoder.input)))
        keras_files.save(encoder, folder / MODEL_FILE)
        faces = self._encode(folder, train.paths)
        encodings = mean_directions(faces, train.truth)
        asked = self._asked(splits, folder, faces, encodings)
        config = self.config
        slope, threshold = known_curve(asked, config.sharpness, config.false_alarms)
        Gallery(train.labels, encodings, config.sharpness, slope, threshold).write(folder)

    def _asked(
        self, splits: Splits, folder: Path, faces: np.ndarray, gallery: np.ndarray
    ) -> list[Asked]:
        """What tells how near to its own character a face of a known one lies.

        faces: encodings [N, D] of train. They tell it where the encoder has not learnt from them,
        or where there is nothing else. gallery: their means, [C, D].

        Raises:
            UserError: nothing tells it.
        """
        train, val = splits["train"], splits["val"]
        asked = []
        if len(val):
            asked.append(Asked(self._encode(folder, val.paths) @ gallery.T, val.truth))
        if self.config.epochs == 0 or not len(val):
            asked.append(without_itself(faces, train.truth))
        if self.config.init == "released":
            asked.append(left_out(np.median(np.bincount(train.truth))))
        if not any(len(one.truth) for one in asked):
            raise UserError(
                f"train.{self.name}: no character has two pictures, which would tell known faces "
                "from unknown ones; give more, or take init: released"
            )
        return asked

    def predict(self, folder: Path, paths: list[str]) -> np.ndarray:
        """float32 [N, C + 1]: scores of the labels, and of "unknown"."""
        return Gallery.read(folder).scores(self._encode(folder, paths))

    def servable(self, folder: Path, labels: list[str], calibrated: Calibration) -> Recogniser:
        """Encoder and gallery behind decoding and resizing."""
        network = keras_files.load(folder)
        return Recogniser(Encoder(network), network.input_shape[1], Gallery.read(folder))

    def _encode(self, folder: Path, paths: list[str]) -> np.ndarray:
        """float32 [N, D]: unit encodings of picture files."""
        return super().predict(folder, paths)


def recolour(
    face: np.ndarray, one: int, rng: np.random.Generator, share: float, classes: int
) -> tuple[np.ndarray, int]:
    """A face, uint8 [S, S, 3], and its class; a `share` of them in other colours, as another."""
    if rng.random() >= share:
        return face, one
    turn = int(rng.integers(1, TURNS))
    return recoloured(face, turn), one + classes * turn
