"""The small character network: who is it, from a face."""

from typing import Literal

import keras
from keras import KerasTensor, layers

from stages.models.common.config import NetworkConfig
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.model import Splits


class CharacterCnnConfig(NetworkConfig):
    """Settings of the small character network."""

    preset: Literal["published", "residual"]


class CharacterCnn(KerasClassifier[CharacterCnnConfig]):
    """Either the published network or residual blocks, as `preset` says."""

    config_class = CharacterCnnConfig

    def build(self, splits: Splits) -> keras.Model:
        """Pixels [N, S, S, 3], 0 to 255, to probabilities, float32 [N, C]."""
        config = self.config
        inputs = keras.Input((config.image_size, config.image_size, 3))
        x = layers.Rescaling(1 / 255)(inputs)
        features = published if config.preset == "published" else residual
        x = features(x, config.dropout)
        outputs = layers.Dense(len(splits["train"].labels), activation="softmax")(x)
        return keras.Model(inputs, outputs, name="character_cnn")


def published(x: KerasTensor, dropout: float) -> KerasTensor:
    """Three convolutions (32, 32, 64), each with a pooling, and a dense layer of 64."""
    for channels in (32, 32, 64):
        x = layers.Conv2D(channels, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dropout(dropout)(x)


def residual(x: KerasTensor, dropout: float) -> KerasTensor:
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
    return layers.Dropout(dropout)(x)


def _norm(x: KerasTensor) -> KerasTensor:
    return layers.BatchNormalization(momentum=0.9)(x)  # 0.99 lags where an epoch has few steps
