"""U-Net (Ronneberger et al. 2015, figure 1): four levels down, four up, skips by concatenation.

What differs from the figure: same padding, so that output and input are of one size; batch
normalisation; nearest-neighbour growth in place of transposed convolutions, which leave a
chequerboard; and channels stop doubling at six times the width, because two thirds of the
published network's weights lie below that.
"""

import keras
from keras import layers

LEVELS = 4
MOST = 6  # times the width
MULTIPLE = 2**LEVELS  # of which height and width must be one


def build(width: int) -> keras.Model:
    """float32 [N, H, W, 1] to the same, 0 to 1 (1 is white); H and W are multiples of `MULTIPLE`.

    width: channels of the first level (64 in the paper).
    """
    channels = [width * min(2**level, MOST) for level in range(LEVELS + 1)]
    inputs = keras.Input((None, None, 1))
    x = layers.Rescaling(-1, 1)(inputs)  # ink is 1: beyond the border, where 0 is, lies paper
    skips = []
    for c in channels[:-1]:
        x = _two_convolutions(x, c)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = _two_convolutions(x, channels[-1])
    for c, skip in zip(channels[-2::-1], skips[::-1], strict=True):
        x = layers.Concatenate()([skip, layers.UpSampling2D()(x)])
        x = _two_convolutions(x, c)
    # Begins as nearly white paper, which is what most of a sketch is.
    outputs = layers.Conv2D(1, 1, activation="sigmoid", bias_initializer=_NEARLY_WHITE)(x)
    return keras.Model(inputs, outputs)


_NEARLY_WHITE = keras.initializers.Constant(2.0)


def _two_convolutions(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    for _ in range(2):
        x = layers.Conv2D(
            channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
        )(x)
        x = layers.BatchNormalization(momentum=0.95)(x)
        x = layers.ReLU()(x)
    return x
