"""Pictures with known faces, to measure a face detector by: faces of the data in hard places."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Square = tuple[float, float, float]  # centre x and y, side: of a face, in pixels
FACE_PX = 160  # width of a face crop on a scene
SMALL_PX = 52  # likewise, where faces are small
TILES = 6  # by 6: a face cut into these and mixed is none


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [H, W, 3], and the squares of the faces in it."""

    kind: str
    pixels: np.ndarray
    faces: tuple[Square, ...]


def scenes_of(face: np.ndarray, rng: np.random.Generator) -> list[Scene]:
    """A scene of each kind, from a face crop, uint8 [h, w, 3], as `celflow.faces.crop` cuts it."""
    return [Scene(kind, *draw(face, rng)) for kind, draw in KINDS.items()]


def _plain(face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Square, ...]]:
    return _laid(face, FACE_PX, 0.0, rng)


def _dark(face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Square, ...]]:
    pixels, squares = _plain(face, rng)
    return pixels // 4, squares


def _cut(face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Square, ...]]:
    pixels, ((x, y, side),) = _plain(face, rng)
    first = round(x - side / 2 + 0.15 * side)
    return pixels[:, first:], ((x - first, y, side),)


def _tilted(degrees: float) -> Callable[..., tuple[np.ndarray, tuple[Square, ...]]]:
    return lambda face, rng: _laid(face, FACE_PX, degrees * rng.choice([-1, 1]), rng)


def _small(face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Square, ...]]:
    return _laid(face, SMALL_PX, 0.0, rng, size=1000)


def _mixed(face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Square, ...]]:
    """No face: the crop's tiles in another order."""
    square = cv2.resize(face, (2 * FACE_PX, 2 * FACE_PX), interpolation=cv2.INTER_AREA)
    side = 2 * FACE_PX // TILES
    tiles = [
        square[y * side : (y + 1) * side, x * side : (x + 1) * side]
        for y, x in np.ndindex(TILES, TILES)
    ]
    order = rng.permutation(len(tiles))
    rows = [
        np.hstack([tiles[i] for i in order[start : start + TILES]])
        for start in range(0, len(tiles), TILES)
    ]
    return np.vstack(rows), ()


KINDS: dict[str, Callable[..., tuple[np.ndarray, tuple[Square, ...]]]] = {
    "plain": _plain,
    "dark": _dark,
    "cut": _cut,
    "tilt_30": _tilted(30),
    "tilt_60": _tilted(60),
    "small": _small,
    "mixed": _mixed,
}


def _laid(
    face: np.ndarray, width: int, degrees: float, rng: np.random.Generator, size: int = 480
) -> tuple[np.ndarray, tuple[Square, ...]]:
    """The crop, `width` px wide, turned, somewhere on a plain ground of `size` x `size` px."""
    height = round(face.shape[0] * width / face.shape[1])
    smaller = width < face.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    face = cv2.resize(face, (width, height), interpolation=method)
    reach = np.hypot(width, height) / 2  # it stays inside however it is turned
    x, y = rng.uniform(min(reach, size / 2), max(size - reach, size / 2), 2)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    turn = turn + np.array([[0, 0, x - width / 2], [0, 0, y - height / 2]])
    ground = tuple(int(v) for v in np.median(face[:4].reshape(-1, 3), axis=0))
    pixels = cv2.warpAffine(face, turn, (size, size), borderValue=ground)
    # `celflow.faces.crop_box` adds a sixth above a face and a twelfth on both sides
    side = 6 / 7 * width
    centre = turn @ (width / 2, height - side / 2, 1)
    return pixels, ((float(centre[0]), float(centre[1]), side),)


def hits(boxes: np.ndarray, squares: tuple[Square, ...], least: float = 0.4) -> np.ndarray:
    """bool [K, F]: whether a box and a square have at least that intersection over union.

    boxes: float [K, 4 or more], left, top, width, height.
    """
    x, y, side = np.array(squares).reshape(-1, 3).T
    left, top, width, height = boxes[:, None, :4].transpose(2, 0, 1)
    across = np.minimum(left + width, x + side / 2) - np.maximum(left, x - side / 2)
    down = np.minimum(top + height, y + side / 2) - np.maximum(top, y - side / 2)
    both = across.clip(0) * down.clip(0)
    return both >= least * (width * height + side**2 - both)
