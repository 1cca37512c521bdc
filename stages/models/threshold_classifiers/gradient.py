"""Gradients: smoothing changes a photograph's histograms more than those of flat colours."""

from typing import TYPE_CHECKING, Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from celflow.params import Share
from stages.models.threshold_classifiers.threshold_classifier import (
    ThresholdClassifier,
    ThresholdConfig,
)

if TYPE_CHECKING:
    import tensorflow as tf


def histogram_correlation(pixels: np.ndarray, side: int, diameter: int, sigma: float) -> float:
    """Correlation of histograms before and after a bilateral filter, mean of channels, -1 to 1.

    pixels: uint8 [H, W, 3]; stretched to `side` x `side` first, as published.
    """
    image = cv2.resize(pixels, (side, side))
    smooth = cv2.bilateralFilter(image, diameter, sigma, sigma)
    return float(np.mean([_correlation(image, smooth, channel) for channel in range(3)]))


def histogram_correlation_in_graph(
    image: "tf.Tensor", side: int, diameter: int, sigma: float
) -> "tf.Tensor":
    """`histogram_correlation` in TensorFlow's ops: within 1e-5."""
    import tensorflow as tf

    from stages.models.common import opencv_ops

    picture = opencv_ops.resize(image, side)
    smooth = opencv_ops.bilateral(picture, diameter, sigma, sigma)
    return tf.reduce_mean(
        opencv_ops.correlation(opencv_ops.histograms(picture), opencv_ops.histograms(smooth))
    )


def _correlation(a: np.ndarray, b: np.ndarray, channel: int) -> float:
    counts = [cv2.calcHist([image], [channel], None, [256], [0, 256]) for image in (a, b)]
    return cv2.compareHist(counts[0], counts[1], cv2.HISTCMP_CORREL)


class GradientConfig(ThresholdConfig):
    """Settings of the gradient feature."""

    side: Annotated[int, Field(ge=64, le=4096, multiple_of=64)]
    diameter: Annotated[int, Field(ge=2, le=16)]
    sigma: Annotated[float, Field(gt=0)]
    threshold: Literal["tuned", "published"] | Share


class Gradient(ThresholdClassifier[GradientConfig]):
    """Cartoon or photo by how little smoothing changes the histograms."""

    config_class = GradientConfig
    published_threshold = 0.98
    cartoons = "above"

    def feature(self, pixels: np.ndarray) -> float:
        """`histogram_correlation` of uint8 [H, W, 3]."""
        config = self.config
        return histogram_correlation(pixels, config.side, config.diameter, config.sigma)

    def feature_in_graph(self, image: "tf.Tensor") -> "tf.Tensor":
        """`histogram_correlation_in_graph` of uint8 [H, W, 3]."""
        config = self.config
        return histogram_correlation_in_graph(image, config.side, config.diameter, config.sigma)
