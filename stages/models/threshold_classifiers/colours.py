"""Colour count: drawings have few colours, so the commonest ones cover much of the picture."""

from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from celflow.params import Positive, Share
from stages.models.threshold_classifiers.threshold_classifier import (
    ThresholdClassifier,
    ThresholdConfig,
)

if TYPE_CHECKING:
    import tensorflow as tf

PARTS = 16  # a power of two; a table of so many fewer colours fits into a core's cache


def share(pixels: np.ndarray, colours: int, side: int) -> float:
    """Share of a picture that its commonest colours cover, 0 to 1.

    pixels: uint8 [H, W, 3]; stretched to `side` x `side` first, as published. Colours are packed
    exactly, 8 bits a channel (the published decimal packing makes different ones collide).
    """
    image = cv2.resize(pixels, (side, side)).astype(np.uint32)
    packed = (image[..., 0] << 16) | (image[..., 1] << 8) | image[..., 2]
    counts = np.sort(np.unique(packed, return_counts=True)[1])
    return float(counts[-colours:].sum() / packed.size)


def share_in_graph(image: "tf.Tensor", colours: int, side: int) -> "tf.Tensor":
    """`share` in TensorFlow's ops: the same number."""
    import tensorflow as tf

    from stages.models.common import opencv_ops

    red, green, blue = tf.unstack(opencv_ops.resize(image, side))
    packed = tf.reshape(tf.cast(red * 65536 + green * 256 + blue, tf.int32), [-1])
    # Colours are dealt out by their last bits first: one large table is three times slower.
    last_bits = tf.bitwise.bitwise_and(packed, PARTS - 1)
    dealt = tf.dynamic_partition(packed, last_bits, PARTS)
    counts = tf.concat([tf.unique_with_counts(part).count for part in dealt], axis=0)
    top = tf.math.top_k(counts, tf.minimum(colours, tf.size(counts)), sorted=False).values
    return tf.reduce_sum(top) / (side * side)


class ColoursConfig(ThresholdConfig):
    """Settings of the colour count."""

    colours: Positive
    side: Positive
    threshold: Literal["tuned", "published"] | Share


class Colours(ThresholdClassifier[ColoursConfig]):
    """Cartoon or photo by the share of the picture that its commonest colours cover."""

    config_class = ColoursConfig
    published_threshold = 0.3
    cartoons = "above"

    def feature(self, pixels: np.ndarray) -> float:
        """`share` of uint8 [H, W, 3]."""
        return share(pixels, self.config.colours, self.config.side)

    def feature_in_graph(self, image: "tf.Tensor") -> "tf.Tensor":
        """`share_in_graph` of uint8 [H, W, 3]."""
        return share_in_graph(image, self.config.colours, self.config.side)
