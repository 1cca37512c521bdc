"""A canvas with smooth shapes.

Lengths are local: 1 is the picture's height in a scene and half a face's width on a figure. A point
is `(x, y)` on a smooth curve or `(x, y, SHARP)` at a corner; y points down.

Longer than other files because all shapes share one coordinate system and its helpers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

SUPERSAMPLING = 2  # on top of OpenCV's anti-aliased edges
SHARP = 1.0
WHITE, INK = (255, 255, 255), (46, 34, 44)

Colour = tuple[int, int, int]
Paint = Colour | tuple[Colour, Colour]  # one colour, or a gradient from top to bottom
Path = str | Sequence[tuple[float, ...]]  # a string is as `path` reads it
Points = Path | np.ndarray
Rng = np.random.Generator


# --- colours and curves


def rgb(code: str) -> Colour:
    """`"f1cf6b"` as red, green and blue from 0 to 255."""
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with `share` (0 to 1) of it replaced by `other`."""
    r, g, b = (round(a + (z - a) * share) for a, z in zip(one, other, strict=True))
    return r, g, b


def shade(colour: Colour, depth: float = 1) -> Colour:
    """The colour in shadow: darker and a little bluer; `depth` 1 is one cel step."""
    r, g, b = (round(c * f**depth) for c, f in zip(colour, (0.78, 0.70, 0.80), strict=True))
    return r, g, b


def flush(skin: Colour, depth: float = 1) -> Colour:
    """Skin in shadow: redder, as blood shines through."""
    r, g, b = (round(c * f**depth) for c, f in zip(skin, (0.93, 0.77, 0.76), strict=True))
    return r, g, b


def glow(colour: Colour) -> Colour:
    """The colour where light falls on it: brighter, but of its own hue."""
    r, g, b = (min(round(c * 1.3 + 50), 255) for c in colour)
    return r, g, b


def jitter(colour: Colour, rng: Rng, amount: float = 10) -> Colour:
    """The colour with each channel moved by about `amount` of 255."""
    r, g, b = (int(c) for c in np.clip(rng.normal(colour, amount), 0, 255))
    return r, g, b


def random_colour(rng: Rng, saturation: tuple[float, float] = (0.3, 0.8)) -> Colour:
    """A colour of any hue, fairly bright; `saturation` is the range to choose from."""
    hsv = [rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(0.7, 1.0)]
    r, g, b = cv2.cvtColor(np.array([[hsv]], np.float32), cv2.COLOR_HSV2RGB)[0, 0]
    return int(r * 255), int(g * 255), int(b * 255)


def path(points: Path) -> Sequence[tuple[float, ...]]:
    """The points of `"0,-1.4 0.4,-1.3 1.1,0.2!"`, where `!` makes a corner; others as they are."""
    if not isinstance(points, str):
        return points
    pairs = (pair.rstrip("!").split(",") + ["!"] * pair.endswith("!") for pair in points.split())
    return [(float(x), float(y), *(SHARP for _ in sharp)) for x, y, *sharp in pairs]


def smooth(points: Points, closed: bool = True, steps: int = 9) -> np.ndarray:
    """A Hermite spline through `points` as float [N, 2]; tangents break at `SHARP` points.

    A tangent has its neighbours' direction and its own segment's length, so that unevenly spread
    points don't overshoot. An array passes as it is: it is a curve already.
    """
    if isinstance(points, np.ndarray):
        return points
    points = path(points)
    knots = np.array([p[:2] for p in points], dtype=float)
    sharp = np.array([len(p) > 2 for p in points])
    if not closed:
        sharp[[0, -1]] = True
    across = np.roll(knots, -1, 0) - np.roll(knots, 1, 0)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    last = len(knots) if closed else len(knots) - 1
    start, end = np.arange(last), (np.arange(last) + 1) % len(knots)
    chord = knots[end] - knots[start]
    length = np.linalg.norm(chord, axis=1, keepdims=True)
    leave = np.where(sharp[start, None], chord, across[start] * length)
    arrive = np.where(sharp[end, None], chord, across[end] * length)
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knots[start][:, None]
        + (t**3 - 2 * t**2 + t) * leave[:, None]
        + (3 * t**2 - 2 * t**3) * knots[end][:, None]
        + (t**3 - t**2) * arrive[:, None]
    ).reshape(-1, 2)
    return curve if closed else np.vstack([curve, knots[-1]])


def mirrored(half: Path) -> list[tuple[float, ...]]:
    """A closed outline from its right half, which goes from the top of the axis to its bottom."""
    half = path(half)
    return [*half, *((-p[0], *p[1:]) for p in reversed(half) if p[0] != 0)]


def band(points: Points, widths: Sequence[float]) -> np.ndarray:
    """The outline of a stroke along `points`, its width going through `widths` from end to end."""
    spine = smooth(points, closed=False)
    along = np.gradient(spine, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    t = np.linspace(0, 1, len(spine))
    half = np.interp(t, np.linspace(0, 1, len(widths)), widths) / 2
    side = np.stack([-along[:, 1], along[:, 0]], 1) * half[:, None]
    return np.vstack([spine + side, (spine - side)[::-1]])


def ellipse(x: float, y: float, rx: float, ry: float | None = None, turn: float = 0) -> np.ndarray:
    """An ellipse's outline; `ry` is `rx` if left out, `turn` is in degrees."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([rx * np.cos(angle), (rx if ry is None else ry) * np.sin(angle)], 1)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return circle @ np.array([[c, s], [-s, c]]) + (x, y)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """A rectangle's outline."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=float)


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> np.ndarray:
    """A rectangle's outline with round corners."""
    corners = ((x1, y1, 0), (x0, y1, 90), (x0, y0, 180), (x1, y0, 270))
    inset = [
        (x + (-radius if x == x1 else radius), y + (-radius if y == y1 else radius), a)
        for x, y, a in corners
    ]
    arcs = [ellipse(x, y, radius)[a * 48 // 360 : a * 48 // 360 + 12] for x, y, a in inset]
    return np.vstack(arcs)


def star(x: float, y: float, radius: float, points: int = 5, inner: float = 0.45) -> np.ndarray:
    """A star's outline, one point up."""
    angle = np.arange(points * 2) * np.pi / points - np.pi / 2
    r = np.where(np.arange(points * 2) % 2, radius * inner, radius)
    return np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], 1)


# --- the canvas


@dataclass(frozen=True)
class Style:
    """How a picture is drawn.

    pen: width of outlines in pixels of the finished picture, 0 for none.
    tinted: outlines take a dark tone of what they go round, instead of ink.
    shading: shadows with a hard edge, a soft edge, or none.
    finish: what is laid over the finished picture.
    """

    pen: float
    tinted: bool
    shading: str  # cel, soft or flat
    finish: str  # of `FINISHES`


@dataclass(frozen=True)
class Canvas:
    """A picture that is drawn on in local coordinates.

    pixels: uint8 [H * S, W * S, 3] for a picture of H x W and a supersampling of S.
    matrix: float [2, 3], from local coordinates to `pixels`.
    """

    pixels: np.ndarray
    matrix: np.ndarray
    style: Style

    @classmethod
    def blank(cls, width: int, height: int, style: Style) -> Canvas:
        """A white canvas whose local unit is the height of the picture."""
        pixels = np.full((height * SUPERSAMPLING, width * SUPERSAMPLING, 3), 255, np.uint8)
        scale = float(height * SUPERSAMPLING)
        return cls(pixels, np.array([[scale, 0, 0], [0, scale, 0]]), style)

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.pixels.shape[1] / self.pixels.shape[0]

    @property
    def scale(self) -> float:
        """Supersampled pixels in a local unit."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def at(self, x: float, y: float, scale: float = 1, turn: float = 0, wide: float = 1) -> Canvas:
        """The same picture, drawn on in axes that are moved, scaled, turned (degrees), widened.

        A negative `wide` mirrors.
        """
        c, s = scale * np.cos(np.radians(turn)), scale * np.sin(np.radians(turn))
        local = np.array([[c * wide, -s, x], [s * wide, c, y], [0, 0, 1]])
        return replace(self, matrix=self.matrix @ local)

    def mask(self, points: Points) -> np.ndarray:
        """The inside of a shape as uint8 [H * S, W * S], to be given as `inside`."""
        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(mask, [_fixed(self._place(points))], 255, cv2.LINE_AA, 4)
        return mask

    def shape(
        self, points: Points, paint: Paint, outline: float = 1, inside: np.ndarray | None = None
    ) -> None:
        """Fill a closed shape and go round it, `outline` pens wide."""
        self.fill(points, paint, inside)
        width = round(outline * self.style.pen * SUPERSAMPLING)
        if width:
            tone = _flat(paint)
            ink = mix(shade(tone, 2.2), INK, 0.35) if self.style.tinted else INK
            polygon = _fixed(self._place(points))
            cv2.polylines(self.pixels, [polygon], True, ink, width, cv2.LINE_AA, 4)

    def fill(
        self,
        points: Points,
        paint: Paint,
        inside: np.ndarray | None = None,
        opacity: float = 1,
        blur: float = 0,
    ) -> None:
        """Fill a closed shape without a line round it; `blur` is a local length."""
        polygon = self._place(points)
        if isinstance(paint[0], int) and inside is None and opacity == 1 and not blur:
            cv2.fillPoly(self.pixels, [_fixed(polygon)], paint, cv2.LINE_AA, 4)
        else:
            self._blend(polygon, paint, inside, opacity, blur * self.scale)

    def line(
        self, points: Points, colour: Colour, pens: float = 1, inside: np.ndarray | None = None
    ) -> None:
        """A brush line that thins out at both ends, `pens` outlines wide (of at least a pixel)."""
        width = pens * max(self.style.pen, 1) * SUPERSAMPLING / self.scale
        self.fill(band(points, (0.1 * width, width, width, 0.1 * width)), colour, inside=inside)

    def shadow(
        self, points: Points, colour: Colour, inside: np.ndarray, opacity: float = 1
    ) -> None:
        """A shadow in the picture's shading."""
        if self.style.shading != "flat":
            soft = 0.09 if self.style.shading == "soft" else 0
            self.fill(points, colour, inside=inside, opacity=opacity, blur=soft)

    def _place(self, points: Points) -> np.ndarray:
        return smooth(points) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def _blend(
        self,
        polygon: np.ndarray,
        paint: Paint,
        inside: np.ndarray | None,
        opacity: float,
        blur: float,
    ) -> None:
        height, width = self.pixels.shape[:2]
        margin = 2 + 3 * blur
        x0, y0 = np.maximum(np.floor(polygon.min(0) - margin), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(polygon.max(0) + margin), (width, height)).astype(int)
        if x0 >= x1 or y0 >= y1:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [_fixed(polygon - (x0, y0))], 255, cv2.LINE_AA, 4)
        if blur:
            mask = _blurred(mask, blur)
        if inside is not None:
            mask = cv2.multiply(mask, inside[y0:y1, x0:x1], scale=1 / 255)
        if isinstance(paint[0], int):
            colour = np.array([[paint]], np.float32)
        else:
            top, bottom = polygon[:, 1].min(), polygon[:, 1].max()
            t = np.clip((np.arange(y0, y1) - top) / (bottom - top + 1e-9), 0, 1)[:, None, None]
            colour = (np.array(paint[0]) * (1 - t) + np.array(paint[1]) * t).astype(np.float32)
        region = self.pixels[y0:y1, x0:x1]
        alpha = mask[..., None] * np.float32(opacity / 255)
        region[:] = (region + (colour - region) * alpha + 0.5).astype(np.uint8)


def _blurred(mask: np.ndarray, sigma: float) -> np.ndarray:
    shrink = max(1, int(sigma / 2))  # a wide blur loses nothing at a lower resolution
    size = (-(-mask.shape[1] // shrink), -(-mask.shape[0] // shrink))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / shrink), mask.shape[::-1])


def _flat(paint: Paint) -> Colour:
    return paint if isinstance(paint[0], int) else mix(paint[0], paint[1], 0.5)


def _fixed(polygon: np.ndarray) -> np.ndarray:
    return np.round(polygon * 16).astype(np.int32)  # four shift bits
