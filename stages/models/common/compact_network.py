"""The network of `photo_compact`, which the cartoonizer's judge is, too."""

import keras
from keras import KerasTensor, layers


def network(side: int, dropout: float) -> keras.Model:
    """Pixels [N, side, side, 3], 0 to 255, to probabilities of two classes, float32 [N, 2]."""
    inputs = keras.Input((side, side, 3))
    whole = keras.applications.InceptionV3(
        include_top=False, weights=None, input_tensor=layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    )
    tapped = whole.get_layer("mixed2").output

    def separable(x: KerasTensor) -> KerasTensor:
        x = layers.SeparableConv2D(384, 3, padding="same")(x)
        return layers.Activation("relu")(layers.BatchNormalization()(x))

    x = separable(separable(layers.MaxPooling2D(3, strides=2)(tapped)))
    pooled = [layers.GlobalAveragePooling2D()(places) for places in (tapped, x)]
    x = layers.Dropout(dropout)(layers.Concatenate()(pooled))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x), name="photo_compact")
