"""Pictures for training and measuring: crops, drawn at random, and middles."""

from pathlib import Path

import cv2
import numpy as np

from celflow.images import read_image
from celflow.manifest import Examples
from stages.models.cartoonizer.flattening import flattened

SIDE = 288  # px, the shorter side of pictures that crops are taken from
SHOWN = 256  # px, of the pictures that are measured and shown


class Crops:
    """Squares of pictures, drawn at random but the same for the same seed and step."""

    def __init__(self, pictures: list[np.ndarray], side: int) -> None:
        self._pictures = pictures
        self._side = side
        self._flat: dict[int, np.ndarray] = {}

    def __call__(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """uint8 [N, S, S, 3]."""
        return np.stack([self._cut(self._pictures[i], *at) for i, at in self._places(rng, count)])

    def flattened(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """uint8 [N, S, S, 3]: what would be drawn for the same `rng`, flattened.

        A picture is flattened whole, when it is first asked for.
        """
        places = self._places(rng, count)
        for number in {number for number, _ in places} - self._flat.keys():
            self._flat[number] = flattened(self._pictures[number])
        return np.stack([self._cut(self._flat[number], *at) for number, at in places])

    def _places(self, rng: np.random.Generator, count: int) -> list[tuple[int, tuple[int, int]]]:
        """Numbers of pictures, with top and left."""
        places = []
        for _ in range(count):
            number = int(rng.integers(len(self._pictures)))
            height, width = self._pictures[number].shape[:2]
            top, left = (int(rng.integers(n - self._side + 1)) for n in (height, width))
            places.append((number, (top, left)))
        return places

    def _cut(self, picture: np.ndarray, top: int, left: int) -> np.ndarray:
        return picture[top : top + self._side, left : left + self._side]


def paths_of(examples: Examples, label: str) -> list[str]:
    """Paths of the photos or of the drawings."""
    return [
        path
        for path, number in zip(examples.paths, examples.truth, strict=True)
        if examples.labels[number] == label
    ]


def square(path: str, side: int = SHOWN) -> np.ndarray:
    """uint8 [S, S, 3]: the middle of a picture file."""
    picture = short_side(path, side)
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def short_side(path: str, side: int = SIDE) -> np.ndarray:
    """uint8 [H, W, 3] of a picture file, its shorter side `side` px."""
    pixels = read_image(Path(path)).pixels
    scale = side / min(pixels.shape[:2])
    width, height = (max(side, round(n * scale)) for n in pixels.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, (width, height), interpolation=how)
