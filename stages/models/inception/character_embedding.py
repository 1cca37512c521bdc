"""Face encodings: who is it, or nobody known.

A network puts faces of one character near to each other on the unit sphere, and those of others
far away (large-margin cosine loss: Wang et al. 2018, CosFace, eq. 4). A character is the mean of
the encodings of its faces, so a new one needs a few faces and no training.

Few characters teach little of what tells a new one apart, so some of their faces are recoloured,
and learnt as characters of their own.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
from keras import layers
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from stages.models.common import keras_files
from stages.models.common.calibration import Calibration
from stages.models.common.image_ops import read_pixels
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.keras_files import MODEL_FILE
from stages.models.common.model import Log, Splits
from stages.models.common.training_batches import Relabel
from stages.models.common.training_loop import predict_on
from stages.models.inception import transfer
from stages.models.inception.cosine_layers import Cosines, MarginLoss, UnitLength
from stages.models.inception.gallery import Gallery, mean_directions
from stages.models.inception.recogniser import Encoder, Recogniser
from stages.models.inception.recolour import TURNS, recoloured
from stages.models.inception.transfer import TransferConfig


class CharacterEmbeddingConfig(TransferConfig):
    """Settings of the face encodings."""

    recoloured: Annotated[float, Field(ge=0, lt=1)]
    unknown_prior: Annotated[float, Field(gt=0, lt=1)]
    margin: Annotated[float, Field(ge=0, lt=1)]
    sharpness: Annotated[float, Field(gt=0, le=100)]


class CharacterEmbedding(KerasClassifier[CharacterEmbeddingConfig]):
    """An encoder of faces, and a gallery of the characters that are known."""

    config_class = CharacterEmbeddingConfig
    tasks = ("characters",)
    is_calibrated = False  # the gallery has a curve of its own

    def build(self, splits: Splits) -> keras.Model:
        """Trunk, encoding and cosine classes, which begin at the means of the frozen encodings.

        Where faces are recoloured, each turn of each character is a class, after those of the turn
        before.
        """
        config, train = self.config, splits["train"]
        features = transfer.prepared(config, train)
        frozen = transfer.frozen_features(features, config, train)
        turns = [frozen]
        if config.recoloured > 0:
            pixels = read_pixels(train.paths, config.image_size)
            for turn in range(1, TURNS):
                turned = np.stack([recoloured(face, turn) for face in pixels])
                turns.append(predict_on(features, turned))
        transfer.freeze(features, config)
        norm = layers.BatchNormalization(momentum=0.95, center=False, scale=False)
        x = UnitLength()(norm(layers.Dropout(config.dropout)(features.output)))
        encoder = keras.Model(features.input, x, name="encoder")
        centre, spread = frozen.mean(axis=0), frozen.var(axis=0)
        norm.set_weights([centre, spread])
        classes = len(train.labels)
        head = Cosines(classes * len(turns), config.sharpness)
        model = keras.Model(encoder.input, head(encoder.output))
        unit = (np.concatenate(turns) - centre) / np.sqrt(spread + norm.epsilon)
        truth = np.concatenate([train.truth + classes * turn for turn in range(len(turns))])
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        head.set_weights([mean_directions(unit, truth)])
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
        train, val = splits["train"], splits["val"]
        trained = keras_files.load(folder)
        encoder = keras.Model(trained.input, trained.layers[-1].input)
        both = transfer.mirrored(encoder)
        encoder = keras.Model(encoder.input, UnitLength()(both(encoder.input)))
        keras_files.save(encoder, folder / MODEL_FILE)
        encodings = mean_directions(self._encode(folder, train.paths), train.truth)
        checked = val if len(val) else train  # whose faces are surer than strangers' would be
        slope, threshold = _known_curve(
            self._encode(folder, checked.paths) @ encodings.T,
            checked.truth,
            self.config.unknown_prior,
        )
        Gallery(train.labels, encodings, self.config.sharpness, slope, threshold).write(folder)

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


def _known_curve(
    cosines: np.ndarray, truth: np.ndarray, unknown_prior: float
) -> tuple[float, float]:
    """Slope and threshold of the curve that tells known faces from unknown ones.

    Every face of val [N, C] counts twice: as it is, and as somebody unknown, which it is to a
    gallery without its own character. Then the curve moves to `unknown_prior`, the share of unknown
    faces that is expected, 0 to 1 (Bayes).
    """
    others = cosines.copy()
    others[np.arange(len(truth)), truth] = -1
    nearest = np.concatenate([cosines.max(axis=1), others.max(axis=1)])
    curve = LogisticRegression(C=1e3).fit(nearest[:, None], np.repeat([1, 0], len(truth)))
    slope = max(1.0, float(curve.coef_[0, 0]))
    threshold = -curve.intercept_[0] / slope
    return slope, float(threshold - np.log((1 - unknown_prior) / unknown_prior) / slope)
