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
    """Pixels [N, S, S, 3], 0 to 255, to probabilities, float32 [N, classes].

    Three convolutions (32, 32, 64), each with a pooling, and a dense layer of 64, as published.
    """
    side = knobs.image_size
    inputs = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    for channels in (32, 32, 64):
        x = layers.Conv2D(channels, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.Dropout(knobs.dropout)(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x), name="character_cnn")


def augment(knobs: CharacterCnn) -> list[keras.Layer]:
    """Layers that vary faces [N, S, S, 3] at random."""
    chosen: list[keras.Layer] = []
    if knobs.flip:
        chosen.append(layers.RandomFlip("horizontal"))
    if knobs.shift:
        chosen.append(layers.RandomTranslation(knobs.shift, knobs.shift, fill_mode="nearest"))
    if knobs.zoom:
        chosen.append(layers.RandomZoom(knobs.zoom, fill_mode="nearest"))
    if knobs.brightness:
        chosen.append(layers.RandomBrightness(knobs.brightness, value_range=(0, 255)))
    return chosen


def fit(params: Params, parts: dict[Part, Pictures], folder: Path, scratch: Path, log: Log) -> None:
    """Train on the faces of train, stop by those of val."""
    knobs = params.train.character_cnn
    network.fit(
        partial(build, knobs=knobs), augment(knobs), knobs, params, parts, folder, scratch, log
    )
