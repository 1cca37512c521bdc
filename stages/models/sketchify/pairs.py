"""Pairs for sketchify, made from drawings by two published filters: a binary, a pencil sketch.

A grey picture is uint8 [H, W], 0 black to 255 white; so are a binary (only 0 and 255) and a sketch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from celflow.images import read_image

if TYPE_CHECKING:
    import tensorflow as tf

BLOCK = 9  # px that the binary's threshold looks at
C = 2  # grey values below their mean that ink lies, at least
BLUR = 21  # px, of the sketch


def binarize(grey: np.ndarray) -> np.ndarray:
    """uint8 [H, W] of the same: ink 0, paper 255. Gaussian adaptive threshold, then a median."""
    ink = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, BLOCK, C
    )
    return cv2.medianBlur(ink, 3)


def binarize_graph(grey: "tf.Tensor") -> "tf.Tensor":
    """`binarize` in TensorFlow's ops: uint8 [H, W] of the same, of any size."""
    import tensorflow as tf

    from stages.models.common import opencv_ops

    bordered = opencv_ops.bordered(tf.cast(grey, tf.float32), BLOCK // 2)
    ink = opencv_ops.gaussian_threshold(bordered, BLOCK, C)
    return tf.cast(opencv_ops.median(opencv_ops.bordered(ink, 1)), tf.uint8)


def sketch(grey: np.ndarray) -> np.ndarray:
    """uint8 [H, W] of the same: grey over blurred grey; lighter than its surroundings is white.

    The "colour dodge" of a picture and its blurred negative. Black on black divides by 0, which
    OpenCV takes for 0.
    """
    return cv2.divide(grey, cv2.GaussianBlur(grey, (BLUR, BLUR), 0), scale=256)


def square(pixels: np.ndarray) -> np.ndarray:
    """The middle square of a landscape picture, the topmost (where heads are) of a portrait."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    left = (width - side) // 2
    return pixels[:side, left : left + side]


def crop(pixels: np.ndarray, side: int) -> np.ndarray:
    """[side, side, ...] of uint8 [H, W, ...]: its `square`, resized."""
    return resized(square(pixels), side, side)


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width, ...] of uint8 [H, W, ...]: means where it shrinks, else bilinear."""
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=how)


def read_grey(path: str, most: int | None = None) -> np.ndarray:
    """uint8 [H, W] of a picture file, shrunk to `most` pixels on its shorter side.

    Raises:
        BadImage: the file is no usable picture.
    """
    grey = cv2.cvtColor(read_image(Path(path)).pixels, cv2.COLOR_RGB2GRAY)
    scale = 1.0 if most is None else min(1.0, most / min(grey.shape))
    return grey if scale == 1 else resized(grey, *(round(n * scale) for n in grey.shape))


def filter_pairs(greys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Binaries and sketches, both uint8 [N, S, S], of as many grey pictures of one size."""
    return np.stack([binarize(g) for g in greys]), np.stack([sketch(g) for g in greys])


def pairs_of(paths: Sequence[str], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Binaries and sketches, both uint8 [N, side, side], of picture files, which are cropped first.

    Raises:
        BadImage: a file is no usable picture.
    """
    return filter_pairs([crop(read_grey(path), side) for path in paths])


def window(
    grey: np.ndarray, side: int, patch: int, varied: float, rng: np.random.Generator
) -> np.ndarray:
    """uint8 [patch, patch]: a random place of a grey picture, uint8 [H, W], at a random scale.

    At its likeliest the shorter side becomes `side` pixels, as `crop` makes it; between 0.84 and
    twice as many, for pictures that are served larger. Half are mirrored, and contrast and
    brightness change by up to `varied`, 0 to 1. Pairs are filtered afterwards, so they fit.
    """
    shorter = max(patch, side * 2 ** rng.triangular(-0.25, 0, 1))
    taken = max(1, round(min(grey.shape) * patch / shorter))
    top, left = (rng.integers(n - taken + 1) for n in grey.shape)
    place = grey[top : top + taken, left : left + taken]
    if rng.random() < 0.5:
        place = place[:, ::-1]
    contrast, brightness = 1 + rng.uniform(-varied, varied), rng.uniform(-varied, varied)
    place = resized(np.ascontiguousarray(place), patch, patch)
    lit = contrast * (place - 127.5) + 127.5 * (1 + brightness)
    return np.clip(lit, 0, 255).astype(np.uint8)


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """float32 [N, H, W, 1], 0 to 1, of uint8 [N, H, W]."""
    return pixels[..., None].astype(np.float32) / 255


def to_bytes(drawn: np.ndarray) -> np.ndarray:
    """uint8 of the same, 0 to 1."""
    return np.round(drawn * 255).astype(np.uint8)
