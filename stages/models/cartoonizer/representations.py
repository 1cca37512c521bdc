"""What white-box cartoonization sees in a picture (Wang & Yu, CVPR 2020, sections 3.1 to 3.3).

The formulas take arrays of NumPy and of TensorFlow alike; the functions on pixels need NumPy only.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from stages.models.cartoonizer.flattening import LUMINANCE
from stages.models.cartoonizer.superpixels import Method, structure

ALPHA = 0.8  # share of the luminance in the texture (section 3.3)
RADIUS, EPSILON = 5, 0.2  # of the surface's guided filter; pixels from -1 to 1

Mean = Callable[[Any], Any]


def guided_filter(guide: Any, x: Any, mean: Mean, epsilon: Any) -> Any:
    """`x`, smoothed where `guide` is smooth (He et al. 2010, eq. 5, 6 and 8), channel by channel.

    guide, x: float [..., H, W, C]. mean: over the square around each pixel, as far as it lies
    inside the picture. epsilon: in squares of their unit; larger is smoother.
    """
    mean_guide, mean_x = mean(guide), mean(x)
    covariance = mean(guide * x) - mean_guide * mean_x
    variance = mean(guide * guide) - mean_guide * mean_guide
    slope = covariance / (variance + epsilon)
    return mean(slope) * guide + mean(mean_x - slope * mean_guide)


def mixed(x: Any, weights: Any) -> Any:
    """Three channels [..., 3] in one, [...]: the texture (section 3.3, eq. 5).

    weights: [..., 3] from -1 to 1, how red, green and blue are mixed into the luminance.
    """
    grey = sum(x[..., i] * LUMINANCE[i] for i in range(3))
    return (1 - ALPHA) * sum(x[..., i] * weights[..., i] for i in range(3)) + ALPHA * grey


def box(radius: int) -> Mean:
    """The mean over a square of side 2 r + 1, of NumPy's float [H, W, C]."""

    def total(x: np.ndarray) -> np.ndarray:
        side = (2 * radius + 1, 2 * radius + 1)
        edge = cv2.BORDER_CONSTANT
        return cv2.boxFilter(x, -1, side, normalize=False, borderType=edge).reshape(x.shape)

    return lambda x: total(x) / total(np.ones_like(x))


def surface(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of uint8 [H, W, 3]: no texture and detail, edges kept (section 3.1)."""
    unit = pixels.astype(np.float32) / 127.5 - 1
    return _pixels(guided_filter(unit, unit, box(RADIUS), EPSILON))


def texture(pixels: np.ndarray, weights: tuple[float, ...] = LUMINANCE) -> np.ndarray:
    """uint8 [H, W] of uint8 [H, W, 3]: one channel (section 3.3)."""
    unit = pixels.astype(np.float32) / 127.5 - 1
    return _pixels(mixed(unit, np.array(weights, np.float32)))


def strip(pixels: np.ndarray, result: np.ndarray, method: Method = "felzenszwalb") -> np.ndarray:
    """uint8 [H, 5 W, 3]: a photo, the result's surface, structure and texture, and the result.

    pixels, result: uint8 [H, W, 3].
    """
    grey = texture(result)[..., None].repeat(3, axis=-1)
    parts = [pixels, surface(result), structure(result, method), grey, result]
    return np.concatenate(parts, axis=1)


def _pixels(unit: np.ndarray) -> np.ndarray:
    return ((unit.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
