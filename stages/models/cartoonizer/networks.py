"""White-box cartoonization's networks (Wang & Yu, CVPR 2020, section 3 and its appendix)."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from stages.models.cartoonizer import representations
from stages.models.cartoonizer.representations import EPSILON, RADIUS
from stages.models.cartoonizer.symmetric import SymmetricConv

START = keras.initializers.HeNormal(seed=1)
STRIDE = 4  # px; what a picture's sides must be a multiple of


@keras.saving.register_keras_serializable("celflow")
class Doubled(layers.Layer):
    """Twice as high and wide, bilinear; Keras's own layer wants to know the size beforehand."""

    def call(self, x: Any) -> Any:
        """[N, 2 H, 2 W, C] of [N, H, W, C]."""
        return tf.image.resize(x, 2 * tf.shape(x)[1:3])

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[N, 2 H, 2 W, C]."""
        return shape[0], *(n and 2 * n for n in shape[1:3]), shape[3]


def generator(channels: int, blocks: int) -> keras.Model:
    """Examples to drawings, float32 [N, H, W, 3] from -1 to 1, sides a multiple of 4.

    Down twice by means, residual blocks, up twice by bilinear resizing, skips by addition; there
    is no normalisation, so every pixel depends on its surroundings alone. What it adds to the
    picture is 0 at first, so that training starts from the picture itself.

    channels: of the first level, a multiple of 8: what is mirrored or turned is drawn mirrored or
    turned (`symmetric`).
    """
    wide = channels // 8

    def conv(x: Any, features: int, size: int = 3, place: str = "inner") -> Any:
        return layers.LeakyReLU(0.2)(SymmetricConv(features, size, place)(x))

    inputs = keras.Input((None, None, 3))
    full = conv(inputs, wide, 5, "first")
    half = conv(conv(layers.AveragePooling2D(2)(full), 2 * wide), 2 * wide)
    x = conv(layers.AveragePooling2D(2)(half), 4 * wide)
    for _ in range(blocks):
        x = layers.add([x, SymmetricConv(4 * wide, zero=True)(conv(x, 4 * wide))])
    x = conv(x, 2 * wide)
    x = conv(conv(layers.add([Doubled()(x), half]), 2 * wide), wide)
    x = conv(layers.add([Doubled()(x), full]), wide)
    x = layers.add([SymmetricConv(3, 5, "last", zero=True)(x), inputs])
    return keras.Model(inputs, x, name="generator")


def guided_filter(guide: Any, x: Any, radius: int, epsilon: Any) -> Any:
    """`representations.guided_filter` of tensors, float32 [N, H, W, C]."""

    def mean(tensor: Any) -> Any:  # padding does not count in it
        for window in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
            tensor = ops.average_pool(tensor, window, strides=1, padding="same")
        return tensor

    return representations.guided_filter(guide, x, mean, epsilon)


def surface(x: Any) -> Any:
    """The surface of pictures, [N, H, W, 3] from -1 to 1 (section 3.1)."""
    return guided_filter(x, x, RADIUS, EPSILON)


def texture(x: Any, weights: Any) -> Any:
    """[N, H, W, 1] of pictures [N, H, W, 3] and weights [N, 3] from -1 to 1 (section 3.3)."""
    return representations.mixed(x, weights[:, None, None])[..., None]


def to_unit(pixels: Any) -> Any:
    """-1 to 1 of 0 to 255."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


def to_pixels(x: Any) -> Any:
    """uint8 of -1 to 1."""
    return tf.cast(tf.round((tf.clip_by_value(x, -1.0, 1.0) + 1.0) * 127.5), tf.uint8)


def discriminator(channels: int, depth: int) -> keras.Model:
    """Patches that are drawings: [N, H, W, depth] to scores [N, h, w, 1]; PatchGAN, SN."""

    def conv(x: Any, filters: int, strides: int = 1) -> Any:
        kernel = layers.Conv2D(filters, 3, strides, padding="same", kernel_initializer=START)
        return layers.LeakyReLU(0.2)(layers.SpectralNormalization(kernel)(x))

    inputs = x = keras.Input((None, None, depth))
    for factor in (1, 2, 4):
        x = conv(conv(x, factor * channels, strides=2), factor * channels)
    return keras.Model(inputs, layers.SpectralNormalization(layers.Conv2D(1, 1))(x))


def total_variation(x: Any) -> Any:
    """Mean squared difference of neighbours (section 3.4, eq. 9)."""
    right, below = x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1]
    return ops.mean(right**2) + ops.mean(below**2)
