"""Find the faces of drawn characters and crop them; training and clients use the same rule."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from celflow.errors import UserError
from celflow.images import shrink


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of its picture: left, top, width, height."""

    x: int
    y: int
    w: int
    h: int

    @classmethod
    def of(cls, x: float, y: float, w: float, h: float) -> "Box":
        """The box with borders rounded to whole pixels; at least a pixel wide and high."""
        left, top = round(x), round(y)
        return cls(left, top, max(1, round(x + w) - left), max(1, round(y + h) - top))

    def as_dict(self) -> dict[str, int]:
        """The four numbers by name."""
        return asdict(self)


def crop_box(face: Box, width: int, height: int) -> Box:
    """The part of a `width` x `height` picture that is cut out for a found face.

    With v = max(w, h) the detected box grows by v/12 to the left and right and by v/6 above, for
    the hair, and is clipped to the picture. Found faces are cut out by this rule alone.
    """
    v = max(face.w, face.h)
    left = min(max(0, face.x - v // 12), width - 1)
    top = min(max(0, face.y - v // 6), height - 1)
    right = max(left + 1, min(width, face.x + face.w + v // 12))
    bottom = max(top + 1, min(height, face.y + face.h))
    return Box(left, top, right - left, bottom - top)


def crop(pixels: np.ndarray, face: Box) -> np.ndarray:
    """uint8 [h, w, 3]: the face with its margin, out of uint8 [H, W, 3]. Never empty."""
    box = crop_box(face, pixels.shape[1], pixels.shape[0])
    return pixels[box.y : box.y + box.h, box.x : box.x + box.w]


def largest_first(boxes: list[Box], min_face: int) -> list[Box]:
    """Those of at least `min_face` pixels on both sides, the largest first."""
    kept = [box for box in boxes if min(box.w, box.h) >= min_face]
    return sorted(kept, key=lambda box: (-box.w * box.h, box.x, box.y))


def detect(
    pixels: np.ndarray,
    cascade: Path | None = None,
    detect_side: int = 640,
    min_face: int = 24,
) -> list[Box]:
    """Faces of drawn characters in uint8 [H, W, 3] RGB, the largest first.

    The LBP cascade looks first where its XML file is named, animeface where it finds nothing.
    Both look at the picture shrunk to `detect_side` pixels; boxes are in pixels of `pixels`.

    Raises:
        UserError: `cascade` names no readable cascade file.
    """
    small = shrink(pixels, detect_side)
    scale = pixels.shape[1] / small.shape[1]
    found = by_cascade(small, cascade) if cascade else []
    found = found or by_animeface(small)
    boxes = [Box(*(round(side * scale) for side in (b.x, b.y, b.w, b.h))) for b in found]
    return largest_first(boxes, min_face)


@lru_cache(maxsize=1)
def _classifier(path: Path) -> cv2.CascadeClassifier:
    if not path.is_file():
        raise UserError(f"no cascade at {path}: see facecrop.cascade in params.yaml")
    try:
        classifier = cv2.CascadeClassifier(str(path))
    except (cv2.error, SystemError):  # the latter for an XML file that is no cascade
        classifier = cv2.CascadeClassifier()
    if classifier.empty():
        raise UserError(f"{path} is no OpenCV cascade file: see facecrop.cascade in params.yaml")
    return classifier


def by_cascade(pixels: np.ndarray, path: Path) -> list[Box]:
    """Faces in uint8 [H, W, 3] by the LBP cascade in an XML file; raises UserError as `detect`."""
    grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    found = _classifier(path).detectMultiScale(
        grey, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24)
    )
    return [Box(*(int(value) for value in rectangle)) for rectangle in found]


def by_animeface(pixels: np.ndarray) -> list[Box]:
    """Faces in uint8 [H, W, 3] by animeface: slower than the cascade, and misses fewer.

    Raises:
        UserError: it is not installed.
    """
    try:
        import animeface  # loads its model, which takes a while; the cascade needs none of it
    except ImportError:
        raise UserError(
            "facecrop.detector: classic needs animeface: pip install -e .[animeface]"
        ) from None
    from PIL import Image

    positions = [found.face.pos for found in animeface.detect(Image.fromarray(pixels))]
    return [Box(int(p.x), int(p.y), int(p.width), int(p.height)) for p in positions]
