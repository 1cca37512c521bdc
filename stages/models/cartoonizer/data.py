"""Pictures for training and measuring: crops, drawn at random, and middles."""

from copy import copy
from pathlib import Path

import cv2
import numpy as np

from celflow import parallel
from celflow.images import read_image
from celflow.manifest import Examples
from stages.models.cartoonizer.representations import flattened

SIDE = 288  # px, the shorter side of pictures that crops are taken from
SHOWN = 256  # px, of the pictures that are measured and shown


class Crops:
    """Squares of pictures, drawn at random but the same for the same seed and step."""

    def __init__(self, paths: list[str], side: int) -> None:
        self._pictures = [_short_side(path, SIDE) for path in paths]
        self._side = side

    def flattened(self, backend: str) -> "Crops":
        """The same crops of the same pictures, flattened."""
        flat = copy(self)
        flat._pictures = parallel.parallel_map(flattened, self._pictures, backend, "flatten")
        return flat

    def __call__(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """uint8 [N, S, S, 3]."""
        return np.stack([self._one(rng) for _ in range(count)])

    def _one(self, rng: np.random.Generator) -> np.ndarray:
        picture = self._pictures[rng.integers(len(self._pictures))]
        top, left = (rng.integers(n - self._side + 1) for n in picture.shape[:2])
        crop = picture[top : top + self._side, left : left + self._side]
        return crop[:, ::-1] if rng.random() < 0.5 else crop


def paths_of(examples: Examples, label: str) -> list[str]:
    """Paths of the photos or of the drawings."""
    return [
        path
        for path, number in zip(examples.paths, examples.truth, strict=True)
        if examples.labels[number] == label
    ]


def square(path: str, side: int = SHOWN) -> np.ndarray:
    """uint8 [S, S, 3]: the middle of a picture file."""
    picture = _short_side(path, side)
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def _short_side(path: str, side: int) -> np.ndarray:
    pixels = read_image(Path(path)).pixels
    scale = side / min(pixels.shape[:2])
    width, height = (max(side, round(n * scale)) for n in pixels.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, (width, height), interpolation=how)
