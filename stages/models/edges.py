"""Edges: a median blur takes fine texture away, of which photographs have more."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stages.models.measure import Measure

if TYPE_CHECKING:
    import tensorflow as tf


def lost_edges(pixels: np.ndarray, block: int, c: int) -> float:
    """Edge pixels that a 3 x 3 median takes away; less than 0 where it makes some.

    pixels: uint8 [H, W, 3], in the size that it has: stretched to 1024 x 1024 first, the published
    threshold is much less often right on the real pictures (0.77 against 0.84).
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return float(_edges(grey, block, c) - _edges(cv2.medianBlur(grey, 3), block, c))


def lost_edges_in_graph(image: "tf.Tensor", block: int, c: int) -> "tf.Tensor":
    """`lost_edges` in TensorFlow's ops: the same number."""
    from stages.models import opencv_ops

    grey = opencv_ops.grey(image)
    median = opencv_ops.median(grey)
    return opencv_ops.edge_pixels(grey, block, c) - opencv_ops.edge_pixels(median, block, c)


def _edges(grey: np.ndarray, block: int, c: int) -> int:
    binary = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, block, c
    )
    return binary.size - cv2.countNonZero(binary)


MODEL = Measure("edges", lost_edges, lost_edges_in_graph, published=4500, cartoons="below")
has_threshold = True  # its border between the classes is a parameter
fit, predict, export = MODEL.fit, MODEL.predict, MODEL.export
