"""The losses that are not of the paper's networks, and what they compare."""

from typing import Any

import tensorflow as tf
from keras import ops


def without_rim(x: Any) -> Any:
    """Crops [..., S, S, C] without their rim, a sixteenth on each side.

    Drawings have frames, and the generator knows a rim by its padding: it would paint some, too.
    """
    rim = x.shape[-2] // 16
    return x[..., rim:-rim, rim:-rim, :]


def colour_loss(y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """How far the colours of pictures [N, H, W, 3] lie apart.

    Light counts as the mean of 8 x 8 px, so that lines may be drawn; hue and strength of colour
    count in every pixel, and squared, so that they are drawn in black and white.
    """
    apart = y - x
    grey = ops.mean(apart, axis=-1, keepdims=True)
    return 10 * ops.mean((apart - grey) ** 2) + ops.mean(ops.abs(ops.average_pool(apart, 8)))
