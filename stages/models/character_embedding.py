"""Face encodings: who is it, or nobody known.

A network puts faces of one character near to each other on the unit sphere, and those of others
far away (large-margin cosine loss: Wang et al. 2018, CosFace, eq. 4). A character is the mean of
the encodings of its faces, so a new one needs a few faces and no training.

Few characters teach little of what tells a new one apart, so some of their faces are recoloured,
and learnt as characters of their own.
"""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from sklearn.linear_model import LogisticRegression

from celflow.params import CharacterEmbedding, Params
from celflow.manifest import Split, Examples
from stages.models import Log, network, transfer
from stages.models.gallery import Encoder, Gallery, Recogniser, means
from stages.models.recolour import TURNS, recoloured

calibrates = False  # the gallery brings a curve of its own


@keras.saving.register_keras_serializable("celflow")
class UnitLength(layers.Layer):
    """Rows of length one."""

    def call(self, x: Any) -> Any:
        """[N, D] of [N, D]."""
        return ops.normalize(x, axis=-1)


@keras.saving.register_keras_serializable("celflow")
class Cosines(layers.Layer):
    """Softmax over `sharpness` times the cosines to a direction a class."""

    def __init__(self, classes: int, sharpness: float, **options: Any) -> None:
        super().__init__(**options)
        self.classes = classes
        self.sharpness = sharpness

    def build(self, shape: tuple[int, ...]) -> None:
        """One direction a class, [C, D]."""
        self.directions = self.add_weight(shape=(self.classes, shape[-1]), name="directions")

    def call(self, x: Any) -> Any:
        """Probabilities [N, C] of unit encodings [N, D]."""
        cosines = ops.matmul(x, ops.transpose(ops.normalize(self.directions, axis=-1)))
        return ops.softmax(self.sharpness * cosines)

    def get_config(self) -> dict[str, Any]:
        """What a saved model keeps."""
        return {**super().get_config(), "classes": self.classes, "sharpness": self.sharpness}


@keras.saving.register_keras_serializable("celflow")
class MarginLoss(keras.losses.Loss):
    """Cross-entropy after the true class's logit is lowered by `margin` (CosFace, eq. 4).

    Takes probabilities, as all our networks answer them: their logarithms are the logits but for a
    constant, which softmax does not see.
    """

    def __init__(self, margin: float, smoothing: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.margin = margin
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss [N] of one-hot truth and probabilities, both [N, C]."""
        logits = ops.log(y_pred + 1e-30) - self.margin * y_true
        return ops.categorical_crossentropy(
            y_true * (1 - self.smoothing) + self.smoothing / y_true.shape[-1],
            logits,
            from_logits=True,
        )

    def get_config(self) -> dict[str, Any]:
        """What a saved model keeps."""
        return {**super().get_config(), "margin": self.margin, "smoothing": self.smoothing}


def build(classes: int, knobs: CharacterEmbedding, train: Examples) -> keras.Model:
    """Trunk, encoding and cosine classes, which begin at the means of the frozen encodings.

    Where faces are recoloured, each turn of each character is a class, after those of the turn
    before.
    """
    features = transfer.prepared(knobs, train)
    frozen = transfer.frozen_features(features, knobs, train)
    turns = [frozen]
    if knobs.recoloured > 0:
        pixels = network.read_pixels(train.paths, knobs.image_size)
        for turn in range(1, TURNS):
            turned = np.stack([recoloured(face, turn) for face in pixels])
            turns.append(network.predict_on(features, turned))
    transfer.freeze(features, knobs)
    norm = layers.BatchNormalization(momentum=0.95, center=False, scale=False)
    x = UnitLength()(norm(layers.Dropout(knobs.dropout)(features.output)))
    encoder = keras.Model(features.input, x, name="encoder")
    centre, spread = frozen.mean(axis=0), frozen.var(axis=0)
    norm.set_weights([centre, spread])
    head = Cosines(classes * len(turns), knobs.sharpness)
    model = keras.Model(encoder.input, head(encoder.output))
    unit = (np.concatenate(turns) - centre) / np.sqrt(spread + norm.epsilon)
    truth = np.concatenate([train.truth + classes * turn for turn in range(len(turns))])
    head.set_weights([means(unit / np.linalg.norm(unit, axis=1, keepdims=True), truth)])
    return model


def recolour(
    face: np.ndarray, one: int, rng: np.random.Generator, share: float, classes: int
) -> tuple[np.ndarray, int]:
    """A face, uint8 [S, S, 3], and its class; a `share` of them in other colours, as another."""
    if rng.random() >= share:
        return face, one
    turn = int(rng.integers(1, TURNS))
    return recoloured(face, turn), one + classes * turn


def fit(params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log) -> None:
    """Train the encoder on the faces of train, stop by those of val; take in all of train."""
    knobs = params.train.character_embedding
    train, val = splits["train"], splits["val"]
    loss = MarginLoss(knobs.sharpness * knobs.margin, knobs.label_smoothing)
    start = partial(build, knobs=knobs, train=train)
    change = None
    if knobs.recoloured > 0:
        change = partial(recolour, share=knobs.recoloured, classes=len(train.labels))
    network.fit(start, knobs, params, splits, folder, scratch, log, loss, change)

    trained = keras.models.load_model(folder / network.MODEL_FILE)
    encoder = keras.Model(trained.input, trained.layers[-1].input)
    encoder = keras.Model(encoder.input, UnitLength()(transfer.mirrored(encoder)(encoder.input)))
    encoder.save(folder / network.MODEL_FILE)
    encodings = means(network.predict(folder, train.paths), train.truth)
    slope, threshold = _known_curve(
        network.predict(folder, val.paths) @ encodings.T, val.truth, knobs.strangers
    )
    Gallery(train.labels, encodings, knobs.sharpness, slope, threshold).write(folder)


def _known_curve(cosines: np.ndarray, truth: np.ndarray, strangers: float) -> tuple[float, float]:
    """Slope and threshold of the curve that tells known faces from unknown ones.

    Every face of val [N, C] counts twice: as it is, and as somebody unknown, which it is to a
    gallery without its own character. Then the curve moves to the share of `strangers` that is
    expected, 0 to 1 (Bayes).
    """
    others = cosines.copy()
    others[np.arange(len(truth)), truth] = -1
    nearest = np.concatenate([cosines.max(axis=1), others.max(axis=1)])
    curve = LogisticRegression(C=1e3).fit(nearest[:, None], np.repeat([1, 0], len(truth)))
    slope = max(1.0, float(curve.coef_[0, 0]))
    threshold = -curve.intercept_[0] / slope
    return slope, float(threshold - np.log((1 - strangers) / strangers) / slope)


def predict(folder: Path, paths: list[str]) -> np.ndarray:
    """float32 [N, C + 1]: scores of the labels, and of "unknown"."""
    return Gallery.read(folder).scores(network.predict(folder, paths))


def export(folder: Path, labels: list[str]) -> Recogniser:
    """Encoder and gallery behind the served graph's door."""
    model = keras.models.load_model(folder / network.MODEL_FILE)
    return Recogniser(Encoder(model), model.input_shape[1], Gallery.read(folder))
