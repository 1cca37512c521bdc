"""Judges of drawings: figures that tell a drawing from a photograph as people do.

Pictures are uint8 [H, W, 3]. Where they were checked, and against what: docs/pictures.md.
"""

from collections.abc import Callable

import cv2
import numpy as np

FLAT = 5  # levels by which 3 x 3 px may differ in any channel, and still be flat
COLOURS = 64  # the commonest ones, counted in 5 bits a channel
INK_SIDE = 7  # px, of the square whose border is lighter than a line within it
INK_DEPTH = 30  # levels by which a line is darker than both of its sides
BESIDE, FLAT_BESIDE = 9, 0.1  # px, of the square around a line of which so much must be flat
SECTORS = 3  # of 60 degrees each, from 0: across, and the two diagonals

Draw = Callable[[np.ndarray], np.ndarray]


def flat(pixels: np.ndarray) -> np.ndarray:
    """bool [H, W]: pixels that hardly differ from their eight neighbours."""
    square = np.ones((3, 3), np.uint8)
    spread = cv2.subtract(cv2.dilate(pixels, square), cv2.erode(pixels, square))
    return np.asarray(spread.max(axis=-1) <= FLAT)


def flat_share(pixels: np.ndarray) -> float:
    """Share of pixels that hardly differ from their eight neighbours."""
    return float(flat(pixels).mean())


def colour_coverage(pixels: np.ndarray) -> float:
    """Share of the picture that its 64 commonest colours cover, in 32 levels a channel."""
    level = (pixels >> 3).astype(int)
    code = (level[..., 0] * 32 + level[..., 1]) * 32 + level[..., 2]
    return float(np.sort(np.bincount(code.ravel()))[-COLOURS:].sum() / code.size)


def saturation_and_lightness(pixels: np.ndarray) -> tuple[float, float]:
    """Means of HSV's saturation and value, 0 to 1."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    return float(hsv[..., 1].mean() / 255), float(hsv[..., 2].mean() / 255)


def ink(pixels: np.ndarray) -> np.ndarray:
    """bool [H, W]: dark lines, lighter on both sides (bottom hat, Serra 1982)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (INK_SIDE, INK_SIDE))
    return np.asarray(cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, disk) > INK_DEPTH)


def contour_share(pixels: np.ndarray) -> float:
    """Share of pixels in dark lines that have flat areas beside them, as a photo's have not.

    Drawings have about 0.02. The OpenCV recipe has eight times as many.
    """
    beside = cv2.blur(flat(pixels).astype(np.float32), (BESIDE, BESIDE)) > FLAT_BESIDE
    return float((ink(pixels) & beside).mean())


def ink_directions(pixels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """int [3]: pixels `where` by the direction that light runs in there, 60 degrees each.

    By the structure tensor (Foerstner and Guelch 1987) of 5 x 5 px.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    x, y = (cv2.Scharr(grey, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.blur(one, (5, 5)) for one in (x * x, y * y, x * y))
    across = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the gradient; the line runs at a right angle
    along = (np.degrees(across) + 90) % 180
    sector = np.minimum(along * SECTORS / 180, SECTORS - 1).astype(int)
    return np.bincount(sector[where], minlength=SECTORS)


def added_ink(photo: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """bool [H, W]: the drawing's lines where the photo has none within a pixel."""
    theirs = cv2.dilate(ink(photo).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return ink(drawn) & ~theirs


def fringes(photo: np.ndarray, drawn: np.ndarray) -> float:
    """Share of pixels more colourful than everything that the photo has within 2 px.

    By the chroma of Lab, and 12 more of it: the magenta along edges that a network may invent.
    """
    theirs, ours = (_chroma(pixels) for pixels in (photo, drawn))
    most = cv2.dilate(theirs, np.ones((5, 5), np.uint8))
    return float((ours > 1.3 * most + 12).mean())


def likeness(photo: np.ndarray, drawn: np.ndarray) -> float:
    """How well light and dark are where they are in the photo: 1 is all, 0 is nothing.

    Correlation of luminance in the mean of squares, 32 a side; a brighter drawing is as like.
    """
    small = [
        cv2.resize(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
        for one in (photo, drawn)
    ]
    a, b = (one.astype(np.float64).ravel() - one.mean() for one in small)
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return max(0.0, float(a @ b / norm)) if norm > 0 else float(a.any() == b.any())


def changes(draw: Draw, photo: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Mean levels by which the drawing changes if the photo is mirrored, and if it is turned."""
    mirrored = draw(np.ascontiguousarray(photo[:, ::-1]))[:, ::-1]
    turned = np.rot90(draw(np.ascontiguousarray(np.rot90(photo))), -1)
    return _apart(mirrored, drawn), _apart(turned, drawn)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def _chroma(pixels: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.hypot(lab[..., 1], lab[..., 2])
