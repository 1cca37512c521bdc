"""The network of the face detector: fully convolutional, anchor-free, one shot.

A face is a peak of a heat map at an eighth of the picture's size, beside which stand its side and
where exactly its centre is (Zhou et al., "Objects as Points", 2019). Five levels, from a half to a
64th, go down by convolutions of stride 2 and come up again added (Lin et al., "Feature Pyramid
Networks", 2017), so that faces of 12 to 500 px are seen. Batch normalisation is folded into the
kernels: the network answers, and is not trained further.
"""

import keras
from keras import layers

STRIDE = 8  # px of the picture a cell of the heat map
MULTIPLE = 64  # px; both sides must be a multiple of it
CHANNELS = (16, 32, 64, 96, 128, 128)  # at 1/2, 1/4, 1/8, 1/16, 1/32, 1/64


def build() -> keras.Model:
    """float32 [N, H, W, 3], standardised, to float32 [N, H / 8, W / 8, 4].

    The four: logit of "a face's centre is here", log of the face's side in cells, and how many
    cells to the right and down of the cell's middle the centre is.
    """
    picture = keras.Input((None, None, 3))
    x2 = _conv(picture, CHANNELS[0], stride=2)
    x4 = _residual(_conv(x2, CHANNELS[1], stride=2))
    x8 = _residual(_residual(_conv(x4, CHANNELS[2], stride=2)))
    x16 = _residual(_residual(_conv(x8, CHANNELS[3], stride=2)))
    x32 = _residual(_conv(x16, CHANNELS[4], stride=2))
    x64 = _residual(_conv(x32, CHANNELS[5], stride=2))
    p32 = _joined(_conv(x64, CHANNELS[3], size=1), x32)
    p16 = _joined(_conv(p32, CHANNELS[2], size=1), x16)
    p8 = _joined(_conv(p16, CHANNELS[2]), x8)
    head = _conv(_conv(p8, CHANNELS[2]), CHANNELS[2])
    return keras.Model(picture, layers.Conv2D(4, 1)(head), name="face_detector")


def _conv(
    x: keras.KerasTensor, channels: int, size: int = 3, stride: int = 1, relu: bool = True
) -> keras.KerasTensor:
    """A convolution padded alike on all sides, as PyTorch pads, where the weights were learnt."""
    if size > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    return layers.Conv2D(channels, size, stride, activation="relu" if relu else None)(x)


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Add()([x, _conv(x, x.shape[-1])])


def _joined(coarse: keras.KerasTensor, fine: keras.KerasTensor) -> keras.KerasTensor:
    """The coarse level, twice as large, on the fine one."""
    fine = _conv(fine, coarse.shape[-1], size=1, relu=False)
    return layers.ReLU()(layers.Add()([layers.UpSampling2D(2)(coarse), fine]))
