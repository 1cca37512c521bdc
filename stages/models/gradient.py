"""Gradients: smoothing changes a photograph's histograms more than those of flat colours."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stages.models.measure import Measure

if TYPE_CHECKING:
    import tensorflow as tf


def likeness(pixels: np.ndarray, side: int, diameter: int, sigma: float) -> float:
    """Correlation of histograms before and after a bilateral filter, mean of channels, -1 to 1.

    pixels: uint8 [H, W, 3]; stretched to `side` x `side` first, as published.
    """
    image = cv2.resize(pixels, (side, side))
    smooth = cv2.bilateralFilter(image, diameter, sigma, sigma)
    return float(np.mean([_correlation(image, smooth, channel) for channel in range(3)]))


def likeness_in_graph(image: "tf.Tensor", side: int, diameter: int, sigma: float) -> "tf.Tensor":
    """`likeness` in TensorFlow's ops: within 1e-5."""
    import tensorflow as tf

    from stages.models import opencv_ops

    picture = opencv_ops.resize(image, side)
    smooth = opencv_ops.bilateral(picture, diameter, sigma, sigma)
    return tf.reduce_mean(
        opencv_ops.correlation(opencv_ops.histograms(picture), opencv_ops.histograms(smooth))
    )


def _correlation(a: np.ndarray, b: np.ndarray, channel: int) -> float:
    counts = [cv2.calcHist([image], [channel], None, [256], [0, 256]) for image in (a, b)]
    return cv2.compareHist(counts[0], counts[1], cv2.HISTCMP_CORREL)


MODEL = Measure("gradient", likeness, likeness_in_graph, published=0.98, cartoons="above")
has_threshold = True  # its border between the classes is a parameter
fit, predict, export = MODEL.fit, MODEL.predict, MODEL.export
