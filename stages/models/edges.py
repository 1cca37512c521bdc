"""Edges: a median blur takes fine texture away, of which photographs have more."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stages.models.measure import Measure

if TYPE_CHECKING:
    import tensorflow as tf

STRIP = 40_000  # pixels that the graph works on at a time, at most: what a core's cache takes
AT_A_TIME = 2  # strips


def lost_edges(pixels: np.ndarray, block: int, c: int) -> float:
    """Edge pixels that a 3 x 3 median takes away; less than 0 where it makes some.

    pixels: uint8 [H, W, 3], in the size that it has: stretched to 1024 x 1024 first, the published
    threshold is much less often right on the real pictures (0.77 against 0.84).
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return float(_edges(grey, block, c) - _edges(cv2.medianBlur(grey, 3), block, c))


def lost_edges_in_graph(image: "tf.Tensor", block: int, c: int) -> "tf.Tensor":
    """`lost_edges` in TensorFlow's ops: the same number."""
    import tensorflow as tf

    from stages.models import opencv_ops

    height, width = tf.unstack(tf.shape(image)[:2])
    around = block // 2 + 1  # rows that a strip's median and its neighbourhoods look at
    turns = -(-height * width // (AT_A_TIME * STRIP))
    step = tf.maximum(-(-height // (AT_A_TIME * turns)), 4 * around)

    def strip(top: tf.Tensor) -> tf.Tensor:
        rows = tf.range(top - around, tf.minimum(top + step, height) + around)
        inside = tf.clip_by_value(rows, 0, height - 1)
        grey = opencv_ops.grey(tf.gather(image, inside))
        # Beyond the border it is the median that is repeated, not what it is made of.
        median = tf.gather(opencv_ops.median(grey), (inside - rows[0] - 1)[1:-1])
        before, after = (opencv_ops.edge_pixels(one, block, c) for one in (grey[1:-1], median))
        return before - after

    tops = tf.range(0, height, step)
    spec = tf.TensorSpec([], tf.float32)
    lost = tf.map_fn(strip, tops, fn_output_signature=spec, parallel_iterations=AT_A_TIME)
    return tf.reduce_sum(lost)


def _edges(grey: np.ndarray, block: int, c: int) -> int:
    binary = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, block, c
    )
    return binary.size - cv2.countNonZero(binary)


MODEL = Measure("edges", lost_edges, lost_edges_in_graph, published=4500, cartoons="below")
has_threshold = True  # its border between the classes is a parameter
fit, predict, export = MODEL.fit, MODEL.predict, MODEL.export
