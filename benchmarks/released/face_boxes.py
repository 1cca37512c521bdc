"""Where are the faces in drawings that nobody has marked? Where several looks agree.

The LBP cascade looks at three sizes, at the mirror image and at the picture turned by 20 degrees
both ways; animeface at the picture and its mirror image. Boxes are of the cascade's convention.
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from celflow import faces, parallel
from celflow.images import read_image, shrink

SIDES = (400, 640, 1000)  # px of the longer side
TURNS = (-20, 20)  # degrees
ANIMEFACE_SIDE = 1.32  # of the cascade's boxes over animeface's, on the faces that both find
AGREED = 0.4  # intersection over union from which two looks mean the same face
SURE, LEAST = 3, 2  # looks of the cascade that make a face; of both detectors together

# Seen by eye: the faces (centre x and y, side, in pixels) of the pictures of characters3 in which
# the looks agree on none, or on something else.
SEEN = {
    "unrecognized/sakurauchi_riko/1": (585.0, 185.0, 215.0),
    "unrecognized/takimoto_hifumi/7": (266.0, 270.0, 361.0),
}

Rows = np.ndarray  # float [K, 4]: centre x and y, side, and 1 for a face or 0 for "maybe"


def boxes_of(files: list[Path], cascade: Path) -> list[Rows]:
    """The boxes of each picture, the surest first."""
    return parallel.parallel_map(
        partial(_agreed, cascade=cascade), files, parallel.PROCESSES, "look for faces"
    )


def _agreed(file: Path, cascade: Path) -> Rows:
    cv2.setNumThreads(1)
    groups: list[list[tuple[str, np.ndarray]]] = []
    for name, box in looks(read_image(file).pixels, cascade):
        for group in groups:
            if overlap(np.mean([found for _, found in group], axis=0), box) > AGREED:
                group.append((name, box))
                break
        else:
            groups.append([(name, box)])
    rows = []
    for group in groups:
        names = {name for name, _ in group}
        by_animeface = sum(name.startswith("animeface") for name in names)
        by_cascade = len(names) - by_animeface
        sure = by_cascade >= SURE or (by_animeface and len(names) >= LEAST)
        trusted = [box for name, box in group if not name.startswith("animeface")]
        middle = np.median(trusted or [box for _, box in group], axis=0)
        rows.append((*middle, float(bool(sure)), len(names)))
    rows.sort(key=lambda row: -row[-1])
    found = np.array(rows, float).reshape(-1, 5)[:, :4]
    for name, square in SEEN.items():
        if file.with_suffix("").as_posix().endswith(name):
            found = np.array([[*square, 1.0]])
    return found


def looks(pixels: np.ndarray, cascade: Path) -> list[tuple[str, np.ndarray]]:
    """Every find of every look: the look's name, and centre x, centre y and side."""
    width = pixels.shape[1]
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    found = []
    for side in SIDES:
        found += [(f"{side}", box) for box in _by_cascade(pixels, side, cascade)]
    found += [("mirror", _mirror(b, width)) for b in _by_cascade(mirrored, 640, cascade)]
    for degrees in TURNS:
        turned, back = _turned(pixels, degrees)
        for x, y, side in _by_cascade(turned, 700, cascade):
            found.append((f"turn {degrees}", np.array([*(back @ (x, y, 1)), side])))
    found += [("animeface", box) for box in _by_animeface(pixels)]
    found += [("animeface mirror", _mirror(b, width)) for b in _by_animeface(mirrored)]
    return found


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two squares (centre x, centre y, side)."""
    low = np.maximum(one[:2] - one[2] / 2, other[:2] - other[2] / 2)
    high = np.minimum(one[:2] + one[2] / 2, other[:2] + other[2] / 2)
    both = float(np.prod((high - low).clip(0)))
    return both / (one[2] ** 2 + other[2] ** 2 - both)


def _squares(boxes: list[faces.Box], scale: float, grow: float = 1.0) -> list[np.ndarray]:
    return [np.array([b.x + b.w / 2, b.y + b.h / 2, grow * (b.w + b.h) / 2]) / scale for b in boxes]


def _by_cascade(pixels: np.ndarray, side: int, cascade: Path) -> list[np.ndarray]:
    small = shrink(pixels, side)
    return _squares(faces.by_cascade(small, cascade), small.shape[1] / pixels.shape[1])


def _by_animeface(pixels: np.ndarray) -> list[np.ndarray]:
    small = shrink(pixels, 640)
    scale = small.shape[1] / pixels.shape[1]
    return _squares(faces.by_animeface(small), scale, ANIMEFACE_SIDE)


def _mirror(square: np.ndarray, width: int) -> np.ndarray:
    return np.array([width - square[0], square[1], square[2]])


def _turned(pixels: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture turned on white, and the matrix [2, 3] that leads back."""
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    size = (int(height * sin + width * cos), int(height * cos + width * sin))
    turn[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    white = cv2.warpAffine(pixels, turn, size, borderValue=(255, 255, 255))
    return white, cv2.invertAffineTransform(turn)
