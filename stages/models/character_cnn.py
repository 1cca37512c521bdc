"""The small character network: who is it, from a face."""

from functools import partial
from pathlib import Path

import keras
from keras import layers

from celflow.params import CharacterCnn, Params
from stages.manifest import Part, Pictures
from stages.models import Log, network

export = network.export
predict = network.predict


def build(classes: int, knobs: CharacterCnn) -> keras.Model:
    """uint8 [N, S, S, 3] to probabilities, float32 [N, classes].

    Three convolutions (32, 32, 64), each with a pooling, and a dense layer of 64, as published.
    """
    side = knobs.image_size
    inputs = keras.Input((side, side, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    if knobs.flip:
        x = layers.RandomFlip("horizontal")(x)
    if knobs.shift:
        x = layers.RandomTranslation(knobs.shift, knobs.shift, fill_mode="nearest")(x)
    if knobs.zoom:
        x = layers.RandomZoom(knobs.zoom, fill_mode="nearest")(x)
    if knobs.brightness:
        x = layers.RandomBrightness(knobs.brightness, value_range=(0, 1))(x)
    for channels in (32, 32, 64):
        x = layers.Conv2D(channels, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.Dropout(knobs.dropout)(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x), name="character_cnn")


def fit(params: Params, parts: dict[Part, Pictures], folder: Path, scratch: Path, log: Log) -> None:
    """Train on the faces of train, stop by those of val."""
    knobs = params.train.character_cnn
    network.fit(partial(build, knobs=knobs), knobs, params, parts, folder, scratch, log)
