"""Mini-Xception: cartoon or photo, from pixels (after Chollet 2017; Keras's own example)."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import layers

from celflow.params import Params, Xception
from celflow.manifest import Split, Examples
from stages.models import Log, network

export = network.export
predict = network.predict


def build(classes: int, knobs: Xception) -> keras.Model:
    """Pixels [N, S, S, 3], 0 to 255, to probabilities, float32 [N, classes]."""

    def channels(published: int) -> int:
        return max(8, round(published * knobs.width))

    def norm(x: Any) -> Any:
        return layers.BatchNormalization(momentum=knobs.batch_norm_momentum)(x)

    side = knobs.image_size
    inputs = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 255)(inputs)

    # Entry
    x = layers.Conv2D(channels(32), 3, strides=2, padding="same")(x)
    x = layers.Activation("relu")(norm(x))
    x = layers.Conv2D(channels(64), 3, padding="same")(x)
    x = layers.Activation("relu")(norm(x))

    residual = x
    for size in (128, 256, 512, 728):
        x = layers.Activation("relu")(x)
        x = norm(layers.SeparableConv2D(channels(size), 3, padding="same")(x))
        x = layers.Activation("relu")(x)
        x = norm(layers.SeparableConv2D(channels(size), 3, padding="same")(x))
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(channels(size), 1, strides=2, padding="same")(residual)
        x = residual = layers.add([x, residual])

    x = norm(layers.SeparableConv2D(channels(1024), 3, padding="same")(x))
    x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(knobs.dropout)(x)
    # A softmax over two is the published sigmoid, and answers in the same form as all models.
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x), name="xception")


def fit(params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log) -> None:
    """Train on the pictures of train, stop by those of val."""
    knobs = params.train.xception
    network.fit(partial(build, knobs=knobs), knobs, params, splits, folder, scratch, log)
