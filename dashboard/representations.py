"""What the cartoonizer is trained by, to look at: surface, structure and texture of a drawing.

After Wang & Yu, CVPR 2020, sections 3.1 to 3.3; the numbers are those of the cartoonizer's training
(`stages/models/cartoonizer/representations.py`), which a page can't import.
"""

import cv2
import numpy as np
from skimage.color import label2rgb
from skimage.segmentation import slic

WINDOW = (11, 11)  # px, of the guided filter
EPSILON = 0.2 * 127.5**2  # of the same, in squared levels
SUPERPIXEL_AREA = 256 * 256 / 200  # px


def surface(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of the same: smooth, edges kept (guided filter by itself, He et al. 2010)."""
    x = pixels.astype(np.float32)
    counted = _box(np.ones_like(x))
    mean = _box(x) / counted
    variance = _box(x * x) / counted - mean * mean
    slope = variance / (variance + EPSILON)
    offset = mean - slope * mean
    smooth = (_box(slope) * x + _box(offset)) / counted
    return np.asarray(smooth.clip(0, 255).round(), np.uint8)


def structure(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of the same: superpixels (SLIC), each in its mean colour."""
    count = max(4, round(pixels.shape[0] * pixels.shape[1] / SUPERPIXEL_AREA))
    labels = slic(pixels, count, compactness=10, max_num_iter=5, start_label=1)
    return np.asarray(label2rgb(labels, pixels, kind="avg"), np.uint8)


def texture(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W] of uint8 [H, W, 3]: one channel, where a drawing has lines and no colours."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _box(x: np.ndarray) -> np.ndarray:
    """Sums over the window around each pixel, as far as it lies inside the picture."""
    return cv2.boxFilter(x, -1, WINDOW, normalize=False, borderType=cv2.BORDER_CONSTANT)
