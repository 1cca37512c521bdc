"""Mini-Xception: cartoon or photo, from pixels (after Chollet 2017; Keras's own example)."""

from typing import Annotated

import keras
from keras import KerasTensor, layers
from pydantic import Field

from stages.models.common.config import NetworkConfig
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.model import Splits


class XceptionConfig(NetworkConfig):
    """Settings of the mini-Xception."""

    width: Annotated[float, Field(gt=0, le=2)]
    batch_norm_momentum: Annotated[float, Field(gt=0, lt=1)]


class Xception(KerasClassifier[XceptionConfig]):
    """Entry flow, four residual blocks of separable convolutions, and a mean over places."""

    config_class = XceptionConfig

    def build(self, splits: Splits) -> keras.Model:
        """Pixels [N, S, S, 3], 0 to 255, to probabilities, float32 [N, C]."""
        config = self.config

        def channels(published: int) -> int:
            return max(8, round(published * config.width))

        def norm(x: KerasTensor) -> KerasTensor:
            return layers.BatchNormalization(momentum=config.batch_norm_momentum)(x)

        side = config.image_size
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
        x = layers.Dropout(config.dropout)(x)
        # A softmax over two is the published sigmoid, and answers in the same form as all models.
        classes = len(splits["train"].labels)
        outputs = layers.Dense(classes, activation="softmax")(x)
        return keras.Model(inputs, outputs, name="xception")
