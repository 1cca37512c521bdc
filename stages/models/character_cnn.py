"""The small character network: who is it, from a face."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import layers

from celflow.params import CharacterCnn, Params
from celflow.manifest import Split, Examples
from stages.models import Log, network

export = network.export
predict = network.predict


def build(classes: int, knobs: CharacterCnn) -> keras.Model:
    """Pixels [N, S, S, 3], 0 to 255, to probabilities, float32 [N, classes]."""
    inputs = keras.Input((knobs.image_size, knobs.image_size, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = published(x, knobs) if knobs.preset == "published" else residual(x, knobs)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x), name="character_cnn")


def published(x: Any, knobs: CharacterCnn) -> Any:
    """Three convolutions (32, 32, 64), each with a pooling, and a dense layer of 64."""
    for channels in (32, 32, 64):
        x = layers.Conv2D(channels, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dropout(knobs.dropout)(x)


def residual(x: Any, knobs: CharacterCnn) -> Any:
    """Ours: residual blocks (He et al. 2016) of 32, 64, 128 and 256 channels, and a mean.

    A mean over places instead of the dense layer: fewer weights, and a face may lie anywhere.
    """
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Activation("relu")(_norm(x))
    for channels in (32, 64, 128, 256):
        short = _norm(layers.Conv2D(channels, 1, strides=2, use_bias=False)(x))
        x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(_norm(x))
        x = _norm(layers.Conv2D(channels, 3, padding="same", use_bias=False)(x))
        x = layers.Activation("relu")(layers.add([x, short]))
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dropout(knobs.dropout)(x)


def _norm(x: Any) -> Any:
    return layers.BatchNormalization(momentum=0.9)(x)  # 0.99 lags where an epoch has few steps


def fit(params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log) -> None:
    """Train on the faces of train, stop by those of val."""
    knobs = params.train.character_cnn
    network.fit(partial(build, knobs=knobs), knobs, params, splits, folder, scratch, log)
