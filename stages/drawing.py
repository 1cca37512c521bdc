"""Drawing for the built-in sample: a canvas with smooth shapes, a cast of characters, and scenes.

Lengths are local: 1 is the picture's height in a scene and half a face's width on a figure. A point
is `(x, y)` on a smooth curve or `(x, y, SHARP)` at a corner; y points down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

SUPERSAMPLING = 2  # on top of OpenCV's anti-aliased edges
SHARP = 1.0
WHITE, INK = (255, 255, 255), (46, 34, 44)

Colour = tuple[int, int, int]
Paint = Colour | tuple[Colour, Colour]  # one colour, or a gradient from top to bottom
Points = str | Sequence[tuple[float, ...]] | np.ndarray  # a string is for `path`
Rng = np.random.Generator


# --- colours and curves


def rgb(code: str) -> Colour:
    """`"f1cf6b"` as red, green and blue from 0 to 255."""
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with `share` (0 to 1) of it replaced by `other`."""
    r, g, b = (round(a + (z - a) * share) for a, z in zip(one, other, strict=True))
    return r, g, b


def shade(colour: Colour, depth: float = 1.0) -> Colour:
    """The colour in shadow: darker and a little bluer; `depth` 1 is one cel step."""
    r, g, b = (round(c * f**depth) for c, f in zip(colour, (0.78, 0.70, 0.80), strict=True))
    return r, g, b


def jitter(colour: Colour, rng: Rng, amount: float = 10) -> Colour:
    """The colour with each channel moved by about `amount` of 255."""
    r, g, b = (int(c) for c in np.clip(rng.normal(colour, amount), 0, 255))
    return r, g, b


def random_colour(rng: Rng, saturation: tuple[float, float] = (0.3, 0.8)) -> Colour:
    """A colour of any hue, fairly bright; `saturation` is the range to choose from."""
    hsv = [rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(0.7, 1.0)]
    r, g, b = (cv2.cvtColor(np.float32([[hsv]]), cv2.COLOR_HSV2RGB)[0, 0] * 255).astype(int)
    return int(r), int(g), int(b)


def path(points: Points) -> Sequence[tuple[float, ...]]:
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


def mirrored(half: Points) -> list[tuple[float, ...]]:
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
    shading: Literal["cel", "soft", "flat"]
    finish: Literal["plain", "light", "halftone", "watercolour", "paper", "grey"]


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
            colour = np.float32([[paint]])
        else:
            top, bottom = polygon[:, 1].min(), polygon[:, 1].max()
            t = np.clip((np.arange(y0, y1) - top) / (bottom - top + 1e-9), 0, 1)[:, None, None]
            colour = np.float32(paint[0]) * (1 - t) + np.float32(paint[1]) * t
        region = self.pixels[y0:y1, x0:x1]
        alpha = mask[..., None] * np.float32(opacity / 255)
        region[:] = (region + (colour - region) * alpha + 0.5).astype(np.uint8)


def _blurred(mask: np.ndarray, sigma: float) -> np.ndarray:
    shrink = max(1, int(sigma / 2))  # a wide blur loses nothing at a lower resolution
    size = (-(-mask.shape[1] // shrink), -(-mask.shape[0] // shrink))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / shrink), mask.shape[::-1])


def _flat(paint: Paint) -> Colour:
    return paint if isinstance(paint[0], int) else mix(paint[0], paint[1], 0.5)  # type: ignore


def _fixed(polygon: np.ndarray) -> np.ndarray:
    return np.round(polygon * 16).astype(np.int32)  # four shift bits


# --- the cast


@dataclass(frozen=True)
class Design:
    """What makes a character recognisable; colours as hex codes."""

    name: str
    hair: str
    eyes: str
    back: Literal["long", "bob", "short", "wavy", "tails", "ponytail"]
    fringe: Literal["straight", "left", "right", "centre", "spiky", "wispy"]
    locks: float  # how far down the side locks reach, 0 for none
    accessory: str
    accent: str
    skin: str = "ffe3d0"
    slant: float = 0.0  # degrees the outer corners of the eyes go up
    narrow: float = 1.0  # height of the eyes


CAST = (
    Design("amari", "343a5e", "8a5cc8", "long", "straight", 1.25, "ribbon", "d8404f"),
    Design(
        "fennel",
        "7fa660",
        "c9862b",
        "short",
        "spiky",
        0.45,
        "headphones",
        "e8e3d8",
        skin="f7d3b5",
        slant=4,
        narrow=0.86,
    ),
    Design("juno", "8a5438", "4a9a5f", "bob", "wispy", 0.85, "glasses", "3f4a6b"),
    Design("kirika", "f3cf70", "3f86d6", "tails", "centre", 1.0, "bows", "e2507c", slant=5),
    Design("lumi", "cdc6ea", "5a8fd0", "bob", "left", 1.0, "sun", "f2b632"),
    Design("lune", "cdc6ea", "5a8fd0", "bob", "right", 1.0, "moon", "4b6fb5"),
    Design("mikan", "e5824a", "3f9a94", "wavy", "wispy", 1.15, "beret", "7a2f3f", slant=-4),
    Design(
        "sable",
        "4a3b40",
        "c8404a",
        "ponytail",
        "right",
        1.05,
        "ears",
        "f0a8b8",
        skin="f3c9a8",
        slant=6,
        narrow=0.94,
    ),
)


@dataclass(frozen=True)
class Look:
    """A character in one picture: its colours there, its pose and its expression.

    turn: -1 to 1, how far the face looks aside; tilt: degrees the head leans.
    lids: how far each eye is open, 0 to 1; light: the side the light comes from, -1 or 1.
    """

    design: Design
    hair: Colour
    eyes: Colour
    skin: Colour
    accent: Colour
    cloth: Colour
    trim: Colour
    clothes: str
    arms: str
    mouth: str
    turn: float
    tilt: float
    lids: tuple[float, float]
    brows: float
    blush: float
    light: int
    sway: float


CLOTHES = ("sailor", "blazer", "hoodie", "blouse", "jumper", "shirt", "yukata")
MOUTHS = ("smile", "smile", "open", "open", "line", "oh", "cat", "grin", "frown")


def random_look(design: Design, rng: Rng) -> Look:
    """One of the ways in which a character may look in a picture."""
    lids = [(1.0, 1.0)] * 14 + [(0.8, 0.8), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    return Look(
        design=design,
        hair=jitter(rgb(design.hair), rng, 7),
        eyes=jitter(rgb(design.eyes), rng, 8),
        skin=jitter(rgb(design.skin), rng, 4),
        accent=jitter(rgb(design.accent), rng, 7),
        cloth=mix(random_colour(rng, (0.15, 0.75)), (40, 44, 70), rng.choice([0, 0.2, 0.7])),
        trim=mix(WHITE, random_colour(rng), rng.choice([0.05, 0.8])),
        clothes=str(rng.choice(CLOTHES)),
        arms=str(rng.choice(["down", "down", "wave", "hip"])),
        mouth=str(rng.choice(MOUTHS)),
        turn=rng.uniform(-0.8, 0.8),
        tilt=float(np.clip(rng.normal(0, 5.5), -12, 12)),
        lids=lids[rng.integers(len(lids))],
        brows=rng.normal(0, 6),
        blush=rng.choice([0, 0.35, 0.6, 0.85]),
        light=int(rng.choice([-1, 1])),
        sway=rng.normal(0, 0.09),
    )


CROWN = "0,-1.42 0.42,-1.38 0.86,-1.12 1.12,-0.62 1.17,-0.1"
BACK_HAIR = {
    "long": ("1.2,0.7 1.27,1.6 1.42,2.5 1.2,3.2! 1.05,2.85 0.8,3.35! 0.6,2.9 0.3,3.3! 0,3"),
    "bob": "1.24,0.3 1.28,0.75 1.16,1.12 0.86,1.32! 0.8,1.15 0.6,1.4! 0,1.3",
    "short": "1.13,0.25 1.2,0.55! 0.98,0.52 1.02,0.95! 0.78,0.8 0.66,1.22! 0.4,1 0,1.2",
    "wavy": (
        "1.38,0.25 1.22,0.75 1.55,1.2 1.34,1.75 1.66,2.3 1.3,2.95! 1.05,2.5 0.75,3! 0.4,2.6 0,2.9"
    ),
    "tails": "1.1,0.25 0.95,0.7 0.6,0.95 0,1",
    "ponytail": "1.1,0.25 0.95,0.7 0.6,0.95 0,1",
}
TAIL = (
    "0.88,-0.92 1.45,-1.1 2,-0.5 2.12,0.5 1.95,1.5 2,2.1 1.62,2.75! 1.6,2.1 "
    "1.3,2.3! 1.45,1.2 1.42,0.3 1.2,-0.3 0.95,-0.5"
)
# The tips of a fringe from left to right, each followed by the gap between it and the next.
FRINGES = {
    "straight": (
        "-0.82,0.2 -0.72,-0.1 -0.52,0.02 -0.38,-0.16 -0.18,0.04 -0.04,-0.16 "
        "0.14,0.05 0.3,-0.16 0.46,0.02 0.64,-0.12 0.82,0.2"
    ),
    "left": (
        "-0.86,0.42 -0.66,-0.28 -0.52,0.02 -0.36,-0.85 0.06,0.1 0.08,-0.22 "
        "0.42,0.12 0.48,-0.16 0.86,0.5"
    ),
    "centre": (
        "-0.9,0.62 -0.74,-0.02 -0.56,0.1 -0.34,-0.32 -0.13,0.1 0,-0.78 0.16,0.06 "
        "0.36,-0.32 0.58,0.1 0.74,-0.02 0.9,0.62"
    ),
    "spiky": (
        "-0.92,0.3 -0.72,-0.12 -0.66,0.08 -0.42,-0.3 -0.26,0.12 -0.08,-0.22 "
        "0.08,0.2 0.2,-0.2 0.5,0.06 0.58,-0.2 0.9,0.26"
    ),
    "wispy": (
        "-0.88,0.36 -0.68,-0.14 -0.46,0.08 -0.3,-0.32 -0.06,0.14 -0,-0.26 "
        "0.22,0.04 0.34,-0.22 0.56,0.12 0.66,-0.1 0.88,0.4"
    ),
}
FRINGE = {name: path(tips) for name, tips in FRINGES.items()}
FRINGE["right"] = [(-x, y) for x, y in reversed(FRINGE["left"])]


def draw_figure(canvas: Canvas, look: Look) -> None:
    """A whole figure; its face is at (0, 0), the crown at y = -1.4 and the soles at y = 6.4."""
    head = canvas.at(0, 1.05, turn=look.tilt).at(0, -1.05)
    draw_back_hair(head.at(-0.07 * look.turn, 0), look)
    draw_legs(canvas, look)
    draw_torso(canvas, look)
    draw_neck(canvas, look)
    draw_collar(canvas, look)
    draw_arms(canvas, look)
    draw_face(head, look)
    draw_front_hair(head, look)
    draw_accessory(head, look)


def draw_back_hair(head: Canvas, look: Look) -> None:
    """The hair behind face and body, with its shadow under the head."""
    kind = look.design.back
    dark = shade(look.hair, 0.75)

    def hang(points: Points) -> list[tuple[float, ...]]:
        return [(p[0] + look.sway * max(p[1], 0) ** 1.5, *p[1:]) for p in path(points)]

    tails = {"tails": (1, -1), "ponytail": (1,)}.get(kind, ())
    for side in tails:
        view = head.at(0, 0, wide=side) if kind == "tails" else head.at(-0.35, -0.25, turn=-12)
        tail = hang(TAIL)
        view.shape(tail, look.hair)
        view.shadow(
            "1.35,-0.5 1.75,0.4 1.62,1.4 1.62,2.7 1.2,2.2 1.3,0.6",
            shade(look.hair),
            view.mask(tail),
        )
        view.line("1.35,-0.8 1.82,0 1.88,1.2", mix(look.hair, WHITE, 0.4), 2.2)
        view.line("1.2,-0.6 1.62,0.5 1.7,2", shade(look.hair, 1.5))
    outline = hang(mirrored(f"{CROWN} {BACK_HAIR[kind]}"))
    head.shape(outline, dark)
    inside = head.mask(outline)
    head.shadow(ellipse(0, 1.2, 0.95, 0.9), shade(dark), inside)
    if kind in ("long", "wavy"):
        for x in (-1.05, -0.85, 0.85, 1.05):
            strand = hang([(x, 1.0), (x * 1.04, 1.8), (x * 1.02, 2.8)])
            head.line(strand, shade(dark, 1.2), inside=inside)
            head.line([(p[0] + 0.09, p[1] - 0.1) for p in strand], look.hair, 2.5, inside=inside)


def draw_neck(canvas: Canvas, look: Look) -> None:
    """Neck and throat, with the shadow of the chin."""
    neck = mirrored("0,0.8 0.25,0.8 0.26,1.35 0.5,1.56 0.2,1.95 0,2.05")
    canvas.shape(neck, look.skin)
    shadow = [(-0.4, 0.8), (0.4, 0.8), (0.3, 1.3), (0.02 - 0.1 * look.light, 1.5), (-0.3, 1.3)]
    canvas.shadow(shadow, shade(look.skin), canvas.mask(neck))


TORSO = mirrored(
    ("0,1.42 0.34,1.44 0.78,1.6 0.98,1.86 0.86,2.4 0.72,2.9 0.7,3.2 0.82,3.75! 0,3.85")
)


def draw_torso(canvas: Canvas, look: Look) -> None:
    """The upper body in its cloth, lit from one side."""
    canvas.shape(TORSO, look.cloth)
    inside = canvas.mask(TORSO)
    view = canvas.at(0, 0, wide=look.light)
    view.shadow("-1.2,1.4 -0.62,1.75 -0.5,2.5 -0.3,3.2 -0.4,4 -1.2,4", shade(look.cloth), inside)
    canvas.line("-0.5,2.9 -0.3,3.1 -0.25,3.5", shade(look.cloth, 1.6))
    canvas.line("0.55,2.7 0.4,3.05 0.42,3.4", shade(look.cloth, 1.6))
    if look.clothes == "jumper":
        for y in (2.35, 2.75):
            stripe = band([(-1.1, y), (0, y + 0.12), (1.1, y)], (0.16, 0.16))
            canvas.fill(stripe, look.trim, inside=inside, opacity=0.9)
    elif look.clothes == "shirt":
        canvas.fill(star(0.02, 2.55, 0.34), look.trim)
    elif look.clothes == "yukata":
        canvas.fill(box(-1, 3.0, 1, 3.5), look.accent, inside=inside)
        canvas.line("-0.74,3.24 0,3.3 0.74,3.24", look.trim, 2, inside=inside)
        for x, y in ((-0.6, 2.1), (0.62, 2.35), (-0.35, 2.75), (0.6, 3.65), (-0.4, 3.7)):
            canvas.fill(star(x, y, 0.13, 6, 0.6), look.trim, inside=inside)


def draw_collar(canvas: Canvas, look: Look) -> None:
    """What lies round the neck, over throat and torso."""
    cloth, trim, accent = look.cloth, look.trim, look.accent
    both = (canvas, canvas.at(0, 0, wide=-1))
    if look.clothes == "sailor":
        for view in both:
            flap = "0.24,1.36 0.62,1.5 0.9,1.72 0.74,2.08 0.02,2.42! 0.2,1.9"
            view.shape(flap, trim)
            view.line("0.82,1.76 0.66,1.98 0.1,2.28", mix(cloth, INK, 0.25), 1.6)
        draw_bow(canvas.at(0, 2.45), accent, 0.32, droop=0.5)
    elif look.clothes == "blazer":
        canvas.fill("-0.3,1.4 0.3,1.4 0.42,1.8 0,3.1! -0.42,1.8", (250, 248, 246))
        tie = "-0.1,1.86! 0.1,1.86! 0.06,2 0.15,2.7 0,2.9! -0.15,2.7 -0.06,2"
        canvas.shape(tie, accent, outline=0.8)
        for view in both:
            view.shape("0.2,1.38 0.32,1.5 0.3,1.85! 0.04,1.9!", WHITE, outline=0.8)
            lapel = "0.36,1.44 0.6,1.7 0.54,2.1! 0.4,2.06! 0.02,3.1!"
            view.shape(lapel, shade(cloth, 0.5))
    elif look.clothes == "hoodie":
        for view in both:
            hood = "0.12,1.95! 0.2,1.4 0.62,1.3 0.85,1.6 0.55,2 0.1,2.15"
            view.shape(hood, mix(cloth, WHITE, 0.12))
            view.line("0.2,2.1 0.22,2.4 0.19,2.7", trim, 2)
    elif look.clothes == "blouse":
        for view in both:
            leaf = "0,1.84! 0.24,1.4 0.5,1.5 0.62,1.78 0.34,2.05"
            view.shape(leaf, trim)
        draw_bow(canvas.at(0, 1.98), accent, 0.26, droop=0.25)
        for y in (2.4, 2.75, 3.1):
            canvas.shape(ellipse(0, y, 0.055), trim, outline=0.6)
    elif look.clothes == "yukata":
        for view in (both[1], both[0]):
            fold = "0.3,1.36 0.52,1.46 0.16,2.3 -0.36,3! -0.5,2.95 0,2.2"
            view.shape(fold, trim)
    elif look.clothes == "jumper":
        canvas.shape(rounded(-0.36, 1.12, 0.36, 1.6, 0.14), mix(cloth, WHITE, 0.1))
        for x in (-0.2, -0.07, 0.07, 0.2):
            canvas.line([(x, 1.2), (x, 1.52)], shade(cloth))
    else:
        canvas.line("-0.5,1.55 -0.3,1.9 0,2.03 0.3,1.9 0.5,1.55", trim, 2.5)


def draw_arms(canvas: Canvas, look: Look) -> None:
    """Both arms; one may wave or rest on the hip."""
    for side in (-1, 1):
        view = canvas.at(0, 0, wide=side)
        pose = look.arms if side == look.light else "down"
        joints = {
            "down": "0.82,1.86 1.06,2.7 1,3.6",
            "wave": "0.82,1.9 1.42,2.5 1.62,1.35",
            "hip": "0.82,1.86 1.4,2.7 0.86,3.3",
        }[pose]
        (x0, y0), (x1, y1) = joints[1:]
        length = np.hypot(x1 - x0, y1 - y0)
        hand = (x1 + 0.12 * (x1 - x0) / length, y1 + 0.12 * (y1 - y0) / length)
        turn = float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))
        palm = view.at(*hand, turn=turn)
        palm.shape("-0.14,-0.13 0.1,-0.2 0.3,-0.12 0.33,0.06 0.2,0.17 -0.14,0.13", look.skin)
        palm.line("0.34,-0.03 0.16,-0.02", shade(look.skin, 1.5), 0.8)
        sleeve = band(joints, (0.44, 0.44, 0.4, 0.42))
        view.shape(sleeve, look.cloth)
        inside = view.mask(sleeve)
        view.at(-0.13 * side * look.light, 0.05).shadow(
            band(joints, (0.3, 0.25, 0.2, 0.2)), shade(look.cloth, 0.8), inside, 0.85
        )
        view.fill(band([joints[2], hand], (0.5, 0.3)), look.trim, inside=inside)


def draw_legs(canvas: Canvas, look: Look) -> None:
    """Skirt or trousers, legs and shoes."""
    trousers = look.clothes in ("hoodie", "shirt") or look.design.back == "short"
    cloth = mix(look.cloth, INK, 0.45) if trousers else shade(look.cloth, 0.4)
    for side in (-1, 1):
        leg = canvas.at(0, 0, wide=side)
        limb = band("0.36,3.6 0.36,4.8 0.34,6", (0.62, 0.5, 0.36))
        leg.shape(limb, cloth if trousers else look.skin)
        leg.shadow(box(0.0, 3.5, 0.3, 6), shade(cloth if trousers else look.skin), leg.mask(limb))
        if not trousers:
            leg.shape(band("0.35,5.2 0.34,6.05", (0.46, 0.38)), look.trim)
        shoe = "0.12,5.95 0.5,5.95 0.66,6.25 0.6,6.42 0.14,6.42 0.08,6.2"
        leg.shape(shoe, mix(look.accent, INK, 0.5))
    if trousers:
        canvas.shape(mirrored("0,3.5 0.8,3.5 0.86,4 0,4.15"), cloth)
    else:
        hem = 4.75 if look.clothes != "yukata" else 5.7
        skirt = mirrored(
            [(0, 3.5), (0.78, 3.5), (1.22, hem, SHARP), (0.6, hem + 0.1), (0, hem + 0.12)]
        )
        canvas.shape(skirt, cloth)
        for x in (-0.55, -0.2, 0.2, 0.55):
            canvas.line([(x, 3.75), (x * 1.35, hem)], shade(cloth, 1.3))


def draw_face(head: Canvas, look: Look) -> None:
    """Ears, face, and everything in it."""
    lean = 0.1 * look.turn
    chin = 1.2 + 0.04 * (look.design.narrow < 0.9)
    outline = [
        (p[0] + lean * max(p[1] + 0.2, 0), *p[1:])
        for p in mirrored(
            [
                (0, -1.1),
                (0.62, -0.9),
                (0.94, -0.3),
                (0.94, 0.22),
                (0.86, 0.55),
                (0.6, 0.9),
                (0.24, 1.13),
                (0.08, chin),
                (0, chin + 0.01),
            ]
        )
    ]
    for side in (-1, 1):
        ear = head.at(-0.12 * look.turn, 0, wide=side)
        ear.shape("0.88,0.02 1.02,-0.02 1.12,0.16 1.05,0.44 0.88,0.5", look.skin)
        ear.line("0.95,0.1 1.04,0.16 0.98,0.34", shade(look.skin, 1.3), 0.8)
    head.shape(outline, look.skin)
    inside = head.mask(outline)
    dusk = shade(look.skin, 0.72)
    fringe = [(x + look.light * -0.06, y + 0.14, SHARP) for x, y in FRINGE[look.design.fringe]]
    head.at(0.16 * look.turn, 0).shadow(
        [(-1.2, 0.2), (-1.2, -1.3), (1.2, -1.3), (1.2, 0.2), *reversed(fringe)], dusk, inside
    )
    cheek = "-1.1,-0.4 -0.8,0.1 -0.74,0.5 -0.42,0.95 0,1.3 -0.8,1.3 -1.2,0.8"
    head.at(lean * 0.6, 0, wide=look.light).shadow(cheek, dusk, inside)
    front = head.at(0.22 * look.turn, 0)
    draw_cheeks(front, look, inside)
    draw_nose(head.at(0.3 * look.turn, 0.62), look)
    draw_mouth(head.at(0.25 * look.turn, 0.84), look)
    for side in (-1, 1):
        draw_eye(
            front.at(0.45 * side, 0.26, 0.27, wide=side * (1 + 0.14 * side * -look.turn)),
            look,
            side,
        )
        draw_brow(front.at(0.45 * side, -0.2, wide=side), look)


def draw_cheeks(front: Canvas, look: Look, inside: np.ndarray) -> None:
    """Blush, with three little strokes where it is strong."""
    red = mix(look.skin, (244, 96, 96), 0.75)
    for side in (-1, 1):
        if look.blush:
            front.fill(
                ellipse(0.58 * side, 0.68, 0.19, 0.09),
                red,
                inside=inside,
                opacity=look.blush,
                blur=0.06,
            )
        if look.blush > 0.8:
            for x in (-0.09, 0, 0.09):
                front.line(
                    [(0.58 * side + x + 0.03, 0.64), (0.58 * side + x - 0.02, 0.73)],
                    red,
                    inside=inside,
                )


def draw_nose(view: Canvas, look: Look) -> None:
    """A hint of a nose."""
    view.fill(
        [(-0.03, -0.05), (0.02, -0.02), (0.05 * -look.light, 0.05), (0, 0.06)],
        shade(look.skin, 1.3),
    )


def draw_mouth(view: Canvas, look: Look) -> None:
    """A mouth about half a unit wide, in the look's expression."""
    ink, inner = mix(shade(look.skin, 2.6), (120, 30, 40), 0.4), (178, 62, 72)
    if look.mouth in ("open", "grin"):
        low = 0.24 if look.mouth == "open" else 0.15
        lips = [
            (-0.2, -0.05, SHARP),
            (0, -0.01),
            (0.2, -0.05, SHARP),
            (0.13, low * 0.75),
            (0, low),
            (-0.13, low * 0.75),
        ]
        view.fill(lips, inner)
        inside = view.mask(lips)
        if look.mouth == "open":
            view.fill(ellipse(0, low, 0.13, 0.1), (240, 132, 128), inside=inside)
        view.fill(box(-0.2, -0.1, 0.2, 0.035), WHITE, inside=inside)
        view.line("-0.22,-0.07 0,-0.01 0.22,-0.07", ink, 1.1)
    elif look.mouth == "oh":
        view.shape(ellipse(0, 0.03, 0.075, 0.095), inner, outline=0.9)
    else:
        curve = {
            "smile": "-0.17,-0.03 0,0.05 0.17,-0.03",
            "line": "-0.12,0.01 0,0 0.12,0.01",
            "cat": "-0.18,-0.02 -0.09,0.05 0,-0.02 0.09,0.05 0.18,-0.02",
            "frown": "-0.13,0.06 0,0 0.13,0.06",
        }[look.mouth]
        view.line(curve, ink, 1.3)


def draw_eye(view: Canvas, look: Look, side: int) -> None:
    """An eye 2 units wide, its outer corner at (1, 0)."""
    view = view.at(0, 0, turn=-look.design.slant)
    lash = mix(shade(look.hair, 2.5), INK, 0.75)
    openness = look.lids[0 if side < 0 else 1]
    if openness < 0.3:
        arc = -0.75 if look.mouth in ("open", "smile", "cat", "grin") else 0.4
        view.fill(
            band([(-0.95, 0.25), (0, 0.25 + arc), (0.95, 0.25)], (0.08, 0.26, 0.3, 0.1)), lash
        )
        view.line([(0.85, 0.3), (1.12, 0.5 if arc < 0 else 0.2)], lash, 1.2)
        return
    view = view.at(0, 0, 1).at(0, 0.95 * (1 - look.design.narrow * openness))
    tall = look.design.narrow * openness

    def y(points: Points) -> list[tuple[float, ...]]:
        return [(p[0], p[1] * tall, *p[2:]) for p in path(points)]

    white = y("-0.92,0.12 -0.7,-0.7 0,-1 0.72,-0.78 0.98,-0.1 0.72,0.78 0,0.98 -0.66,0.8")
    view.fill(white, (253, 251, 252))
    inside = view.mask(white)
    view.fill(box(-1.2, -1.2, 1.2, -0.42 * tall), (206, 204, 226), inside=inside, opacity=0.85)
    gaze = 0.1 * look.turn * side
    iris = view.at(gaze, 0.02 * tall, 1)
    deep, bright = shade(look.eyes, 2.2), mix(look.eyes, WHITE, 0.45)
    iris.fill(ellipse(0, 0, 0.72, 0.95 * tall), deep, inside=inside)
    iris.fill(ellipse(0, 0.03, 0.64, 0.87 * tall), (shade(look.eyes, 1.5), bright), inside=inside)
    iris.fill(ellipse(0, 0.02, 0.3, 0.46 * tall), mix(deep, INK, 0.5), inside=inside)
    iris.fill(
        ellipse(0, 0.52 * tall, 0.42, 0.26 * tall),
        mix(bright, WHITE, 0.25),
        inside=inside,
        opacity=0.75,
    )
    iris.fill(box(-1, -1.1, 1, -0.5 * tall), INK, inside=inside, opacity=0.35)
    glint = look.light * side
    iris.fill(ellipse(0.27 * glint, -0.4 * tall, 0.23, 0.27 * tall), WHITE, inside=inside)
    iris.fill(ellipse(-0.3 * glint, 0.42 * tall, 0.11, 0.13 * tall), WHITE, inside=inside)
    lid = y("-0.98,0.08 -0.74,-0.72 0,-1.06 0.74,-0.84 1.12,-0.02")
    view.fill(band(lid, (0.08, 0.24, 0.27, 0.3, 0.32, 0.06)), lash)
    if look.design.narrow > 0.9:
        view.fill([(0.78, -0.72 * tall), (1.32, -0.62 * tall, SHARP), (1.02, -0.18 * tall)], lash)
        view.fill([(0.92, -0.4 * tall), (1.3, -0.12 * tall, SHARP), (1.0, 0.06 * tall)], lash)
    view.line(y("0.9,0.45 0.66,0.86 0,1.04 -0.4,0.98"), mix(lash, look.skin, 0.25), 0.9)
    view.line(y("-0.5,-1.18 0.1,-1.34 0.75,-1.12"), shade(look.skin, 1.8), 0.8)


def draw_brow(view: Canvas, look: Look) -> None:
    """An eyebrow half a unit wide, its outer end at positive x."""
    view = view.at(0, 0, turn=look.brows)
    width = 0.075 if look.design.narrow < 0.9 else 0.05
    view.fill(
        band("-0.24,0.02 0.05,-0.07 0.26,0.03", (width, width, width, 0.01)), shade(look.hair, 1.4)
    )


def draw_front_hair(head: Canvas, look: Look) -> None:
    """Side locks and fringe, their shadows, strands and the ring of light."""
    hair, dark, bright = look.hair, shade(look.hair), mix(look.hair, WHITE, 0.5)
    reach = look.design.locks
    for side in (-1, 1):
        view = head.at(0.06 * look.turn, 0, wide=side)
        drift = look.sway * side
        lock = [
            (0.62, -0.7),
            (1.12, -0.6),
            (1.19, 0.0),
            (1.12 + drift, 0.35 + reach * 0.5),
            (0.9 + drift, 0.3 + reach, SHARP),
            (0.9, 0.1 + reach * 0.55),
            (0.84, 0.1),
        ]
        view.shape(lock, hair)
        inside = view.mask(lock)
        view.shadow(
            [
                (0.7, -0.3),
                (0.98, 0.0),
                (0.98, 0.4 + reach * 0.4),
                (0.9 + drift, 0.4 + reach),
                (0.6, 0.5),
            ],
            dark,
            inside,
        )
        view.line(
            [(1.04, -0.5), (1.1, 0.1), (1.03 + drift, 0.3 + reach * 0.6)],
            shade(hair, 1.4),
            0.9,
            inside,
        )
    front = head.at(0.1 * look.turn, 0)
    tips = FRINGE[look.design.fringe]
    edge: list[tuple[float, ...]] = []
    for (x0, y0), (x1, y1) in zip(tips, tips[1:], strict=False):
        edge += [
            (x0, y0, SHARP),
            (0.5 * (x0 + x1) + 0.1 * (y1 - y0) * np.sign(x0 + x1), 0.5 * (y0 + y1)),
        ]
    edge.append((*tips[-1], SHARP))
    crown = [(-1.17, -0.1), *((-x, y) for x, y in reversed(CROWN[1:4])), *CROWN]
    outline = [*crown, (1.08, 0.12), *reversed(edge), (-1.08, 0.12)]
    front.shape(outline, hair)
    inside = front.mask(outline)
    for tip, gap in zip(tips[::2], [*tips[1::2], tips[-1]], strict=False):
        front.shadow(
            [
                (tip[0] - 0.06, tip[1] + 0.1),
                (gap[0] + 0.02, gap[1] - 0.42, SHARP),
                (gap[0] + 0.08, gap[1] + 0.1),
            ],
            dark,
            inside,
        )
    front.at(0, 0, wide=look.light).shadow(
        "-1.3,0.4 -1.3,-1.2 -0.98,-0.9 -0.92,-0.4 -0.82,0.4", dark, inside
    )
    if look.design.back != "short":
        ring = "-0.98,-0.5 -0.5,-0.78 0.1,-0.84 0.6,-0.74 0.98,-0.46"
        teeth = [
            (x, y + 0.13 + 0.12 * (i % 2), SHARP)
            for i, (x, y) in enumerate(
                (x, -0.86 + 0.36 * x * x) for x in np.linspace(0.92, -0.92, 15)
            )
        ]
        front.fill([*ring, *teeth], bright, inside=inside, opacity=0.75)
    else:
        for x, y in ((-0.6, -0.8), (-0.15, -0.95), (0.35, -0.92), (0.7, -0.7)):
            front.fill(
                [
                    (x, y, SHARP),
                    (x + 0.1, y + 0.1),
                    (x - 0.02, y + 0.42, SHARP),
                    (x - 0.06, y + 0.15),
                ],
                bright,
                inside=inside,
                opacity=0.75,
            )
    part = {"left": -0.36, "right": 0.36}.get(look.design.fringe, 0.0)
    for x, y in tips[1::2]:
        start = part + 0.3 * (x - part)
        front.line(
            [(start, -1.22), ((start + x) / 2 + 0.12 * x, -0.75), (x, y)],
            shade(hair, 1.5),
            0.9,
            inside,
        )
    head.line([(part * 0.4, -1.38), (0.16, -1.66), (0.42, -1.58)], dark, 1.8)


def draw_bow(view: Canvas, colour: Colour, size: float, droop: float = 0) -> None:
    """A bow of two loops, `size` from knot to end, with hanging ends `droop` long."""
    view = view.at(0, 0, size)
    for side in (-1, 1):
        half = view.at(0, 0, wide=side)
        if droop:
            low = droop / size
            half.shape(
                [(0.0, 0.1), (0.3, 0.2), (0.55, low), (0.32, low * 0.9, SHARP), (0.1, low)],
                shade(colour, 0.5),
            )
        loop = "0.1,-0.12 0.6,-0.6 1.05,-0.55 1.1,0.1 0.95,0.5 0.5,0.4 0.1,0.14"
        half.shape(loop, colour)
        half.shadow("0.1,0.05 0.6,0.12 1.2,0.2 1,0.7 0.3,0.5", shade(colour), half.mask(loop))
        half.line("0.15,-0.02 0.45,-0.12 0.7,-0.14", shade(colour, 1.8), 0.8)
    view.shape(ellipse(0, 0, 0.2, 0.23), mix(colour, WHITE, 0.1))


def draw_accessory(head: Canvas, look: Look) -> None:
    """What the character always wears."""
    colour, kind = look.accent, look.design.accessory
    if kind == "ribbon":
        draw_bow(head.at(0.62, -1.2, turn=22), colour, 0.5)
    elif kind == "bows":
        for side in (-1, 1):
            draw_bow(head.at(1.02 * side, -0.78, turn=58 * side), colour, 0.36)
    elif kind == "headphones":
        head.shape(band("-1.16,0 -1.1,-0.9 0,-1.5 1.1,-0.9 1.16,0", (0.14,) * 4), colour)
        for side in (-1, 1):
            cup = head.at(0, 0, wide=side)
            cup.shape(rounded(0.98, -0.16, 1.34, 0.56, 0.16), mix(colour, INK, 0.65))
            cup.shape(rounded(1.12, -0.06, 1.38, 0.46, 0.12), colour)
    elif kind == "glasses":
        front = head.at(0.22 * look.turn, 0.3)
        for side in (-1, 1):
            lens = rounded(0.46 * side - 0.37, -0.3, 0.46 * side + 0.37, 0.33, 0.26)
            front.fill(lens, WHITE, opacity=0.14)
            front.fill(band(np.vstack([lens, lens[:1]]), (0.055, 0.055)), colour)
            front.line([(0.8 * side, -0.05), (1.0 * side - 0.12 * look.turn, -0.12)], colour, 1.6)
        front.line("-0.1,-0.06 0,-0.1 0.1,-0.06", colour, 1.8)
    elif kind == "sun":
        pin = head.at(0.72 + 0.08 * look.turn, -0.42, turn=12)
        pin.shape(star(0, 0, 0.27, 8, 0.62), colour)
        pin.fill(ellipse(0, 0, 0.1), mix(colour, WHITE, 0.6))
    elif kind == "moon":
        pin = head.at(-0.72 + 0.08 * look.turn, -0.42, turn=-15)
        pin.shape(
            ("0.1,-0.28! -0.14,-0.22 -0.24,0 -0.14,0.22 0.1,0.28! -0.03,0.12 -0.03,-0.12"),
            mix(colour, WHITE, 0.1),
        )
    elif kind == "beret":
        hat = (
            "-1.12,-0.72 -1.2,-1.2 -0.6,-1.72 0.3,-1.82 1.1,-1.5 1.3,-1 1.06,-0.74 "
            "0.5,-0.98 -0.3,-1.02"
        )
        head.shape(hat, colour)
        head.shadow(
            "-1.3,-1.2 -0.9,-1.1 0,-1.25 1,-1.1 1.3,-0.6 0,-0.7 -1.3,-0.5",
            shade(colour),
            head.mask(hat),
        )
        head.shape(band("0.05,-1.78 0.1,-2", (0.1, 0.08)), colour)
    elif kind == "ears":
        for side in (-1, 1):
            ear = head.at(0, 0, wide=side)
            ear.shape("0.28,-1.28 0.5,-1.7 0.98,-2.02! 1.14,-1.4 1.08,-0.8 0.7,-1.1", look.hair)
            ear.fill("0.5,-1.28 0.66,-1.6 0.92,-1.82! 1,-1.4 0.98,-1.02", colour)
            ear.line("0.4,-1.2 0.62,-1.3 0.74,-1.08", shade(look.hair), 3)


# --- scenes; the local unit is the picture's height, x goes from 0 to `canvas.aspect`


def ground(canvas: Canvas, paint: Paint, top: float = 0, bottom: float = 1) -> None:
    """A strip across the whole picture."""
    canvas.fill(box(-0.1, top, canvas.aspect + 0.1, bottom + 0.01), paint)


def scatter(
    canvas: Canvas, rng: Rng, count: int, low: float = 1.0
) -> list[tuple[float, float, float]]:
    """`count` places as (x, y, a random number from 0 to 1), y from 0 to `low`."""
    return [
        (rng.uniform(0, canvas.aspect), rng.uniform(0, low), rng.uniform()) for _ in range(count)
    ]


def draw_cloud(view: Canvas, colour: Colour, rng: Rng) -> None:
    """A heap of round puffs, 2 units wide, flat below."""
    puffs = [
        (x, -0.32 * np.cos(x * 1.4) + rng.normal(0, 0.05), rng.uniform(0.28, 0.45))
        for x in (-0.6, -0.2, 0.2, 0.6)
    ]
    inside = np.maximum.reduce([view.mask(ellipse(*p)) for p in puffs])
    for puff in puffs:
        view.fill(ellipse(*puff), colour)
    view.shadow(box(-1.2, -0.1, 1.2, 0.6), mix(colour, (120, 140, 200), 0.3), inside, 0.7)


def draw_tree(view: Canvas, leaf: Colour, rng: Rng) -> None:
    """A tree 1 unit tall that stands on (0, 0)."""
    view.shape(band("0,0.02 0.02,-0.3 0,-0.6", (0.12, 0.08, 0.05)), (112, 78, 60))
    if rng.uniform() < 0.5:
        for y, w in ((-0.2, 0.36), (-0.42, 0.3), (-0.64, 0.22)):
            tier = [(0, y - 0.4, SHARP), (w, y, SHARP), (0, y + 0.05), (-w, y, SHARP)]
            view.shape(tier, leaf)
            view.shadow(
                [(0, y - 0.4), (w, y), (w, y + 0.1), (0.05, y + 0.1)], shade(leaf), view.mask(tier)
            )
        return
    crown = [
        (0.38 * np.sin(a) * rng.uniform(0.85, 1.15), -0.62 - 0.38 * np.cos(a))
        for a in np.arange(0, 6.2, 0.7)
    ]
    view.shape(crown, leaf)
    view.shadow(ellipse(0.16, -0.42, 0.36, 0.28), shade(leaf), view.mask(crown))
    view.fill(ellipse(-0.12, -0.8, 0.1, 0.06, -20), mix(leaf, WHITE, 0.4), opacity=0.8)


def ridge(canvas: Canvas, rng: Rng, level: float, rough: float) -> list[tuple[float, ...]]:
    """The outline of hills or mountains around the height `level`, down to the picture's foot."""
    tops = [
        (float(x), level + rng.normal(0, rough)) for x in np.linspace(-0.2, canvas.aspect + 0.2, 8)
    ]
    return [*tops, (canvas.aspect + 0.3, 1.1, SHARP), (-0.3, 1.1, SHARP)]


def landscape(canvas: Canvas, rng: Rng) -> None:
    """Sky, clouds, hills one behind the other, trees, sometimes a river."""
    sky = [
        ((92, 160, 232), (214, 238, 250)),
        ((250, 150, 110), (255, 226, 170)),
        ((150, 190, 210), (240, 240, 230)),
    ]
    ground(canvas, sky[rng.integers(3)])
    canvas.fill(
        ellipse(rng.uniform(0.1, canvas.aspect), rng.uniform(0.1, 0.35), 0.08), (255, 246, 214)
    )
    for x, y, size in scatter(canvas, rng, rng.integers(1, 5), 0.3):
        draw_cloud(canvas.at(x, y + 0.06, 0.08 + 0.1 * size), (255, 252, 250), rng)
    green = mix(random_colour(rng, (0.3, 0.6)), (90, 160, 80), 0.7)
    for depth, level in ((0.65, 0.45), (0.35, 0.56), (0.0, 0.7)):
        hill = ridge(canvas, rng, level, 0.05)
        colour = mix(green, (170, 196, 224), depth)
        canvas.shape(hill, (mix(colour, WHITE, 0.15), shade(colour, 0.6)))
        for x, y, size in sorted(
            scatter(canvas, rng, rng.integers(2, 7), 0.12), key=lambda p: p[1]
        ):
            draw_tree(
                canvas.at(x, level + 0.1 + y, (0.1 + 0.07 * size) * (1.6 - depth)),
                jitter(shade(colour, 0.5), rng),
                rng,
            )
    if rng.uniform() < 0.5:
        x = rng.uniform(0.2, canvas.aspect - 0.2)
        stream = [(x, 0.76), (x + 0.12, 0.84), (x - 0.08, 0.92), (x + 0.1, 1.05)]
        canvas.shape(band(stream, (0.02, 0.1, 0.18, 0.4)), ((180, 220, 244), (86, 150, 214)))


def night(canvas: Canvas, rng: Rng) -> None:
    """Stars, a moon, and a skyline or hills with lights."""
    deep = mix((16, 20, 58), random_colour(rng), 0.12)
    ground(canvas, (deep, mix(deep, random_colour(rng), 0.5)))
    for x, y, size in scatter(canvas, rng, 60, 0.75):
        canvas.fill(
            ellipse(x, y, 0.002 + 0.004 * size) if size < 0.9 else star(x, y, 0.02, 4, 0.25),
            (255, 250, 220),
        )
    x, y = rng.uniform(0.2, canvas.aspect - 0.2), rng.uniform(0.15, 0.3)
    canvas.fill(ellipse(x, y, 0.14), (255, 246, 200), opacity=0.45, blur=0.05)
    canvas.fill(ellipse(x, y, 0.085), (255, 246, 214))
    if rng.uniform() < 0.5:
        canvas.fill(ellipse(x + 0.035, y - 0.015, 0.075), deep)
    if rng.uniform() < 0.5:
        for depth in (0.5, 0.0):
            canvas.fill(
                ridge(canvas, rng, 0.8 - 0.2 * depth, 0.04),
                mix(shade(deep, 1.5), (90, 100, 160), depth),
            )
        return
    for depth in (0.35, 0.0):
        left = -0.1
        while left < canvas.aspect:
            wide, top = rng.uniform(0.1, 0.2), rng.uniform(0.45, 0.75) + 0.1 * (0.35 - depth)
            canvas.shape(
                box(left, top, left + wide, 1.1),
                mix(shade(deep, 1.5), (80, 90, 150), depth),
                outline=0.6,
            )
            for u in np.arange(left + 0.02, left + wide - 0.03, 0.035):
                for v in np.arange(top + 0.03, 1, 0.055):
                    if rng.uniform() < 0.4:
                        canvas.fill(box(u, v, u + 0.016, v + 0.026), (255, 218, 130))
            left += wide + rng.uniform(-0.01, 0.03)


def house(view: Canvas, rng: Rng) -> None:
    """A house 1 unit wide that stands on (0, 0)."""
    wall, roof = (
        mix(random_colour(rng, (0.1, 0.4)), WHITE, 0.4),
        shade(random_colour(rng, (0.4, 0.7)), 0.7),
    )
    tall, pane = rng.uniform(0.7, 1.4), (174, 216, 236)
    front = box(-0.42, -tall, 0.42, 0)
    view.shape(front, wall)
    view.shadow(box(-0.5, -tall, 0.5, -tall + 0.09), shade(wall), view.mask(front))
    view.shadow(box(0.22, -tall, 0.5, 0), shade(wall), view.mask(front), 0.5)
    top = [
        (-0.55, -tall, SHARP),
        (-0.36, -tall - 0.4, SHARP),
        (0.36, -tall - 0.4, SHARP),
        (0.55, -tall, SHARP),
    ]
    view.shape(
        top
        if rng.uniform() < 0.5
        else [(-0.55, -tall, SHARP), (0, -tall - 0.5, SHARP), (0.55, -tall, SHARP)],
        roof,
    )
    view.shape(box(-0.1, -0.36, 0.12, 0), shade(roof, 0.8))
    view.fill(ellipse(0.08, -0.17, 0.018), (240, 210, 120))
    for x in (-0.26, 0.26):
        for y in np.arange(-tall + 0.14, -0.3, 0.38):
            view.shape(box(x - 0.11, y, x + 0.11, y + 0.22), (pane, mix(pane, WHITE, 0.6)))
            view.line([(x, y), (x, y + 0.22)], WHITE, 1.4)
            view.line([(x - 0.11, y + 0.11), (x + 0.11, y + 0.11)], WHITE, 1.4)


def building(canvas: Canvas, rng: Rng) -> None:
    """A row of houses on a street."""
    ground(canvas, (mix(random_colour(rng), WHITE, 0.35), (250, 246, 240)))
    for x, y, size in scatter(canvas, rng, 3, 0.25):
        draw_cloud(canvas.at(x, y + 0.05, 0.1 + 0.06 * size), WHITE, rng)
    size = rng.uniform(0.3, 0.55)
    for x in np.arange(size * 0.3, canvas.aspect + size, size * 0.98):
        if rng.uniform() < 0.25:
            draw_tree(canvas.at(x, 0.83, size), jitter((110, 168, 96), rng, 16), rng)
        else:
            house(canvas.at(x, 0.83, size), rng)
    ground(canvas, (206, 200, 196), 0.82, 0.87)
    ground(canvas, (126, 126, 140), 0.87, 1)
    for x in np.arange(0, canvas.aspect, 0.22):
        canvas.fill(box(x, 0.925, x + 0.12, 0.94), (246, 240, 220))


def food(canvas: Canvas, rng: Rng) -> None:
    """A doughnut, a bowl of noodles, ice cream, or fruit, on a table."""
    cloth = mix(random_colour(rng, (0.15, 0.5)), WHITE, rng.uniform(0.2, 0.6))
    ground(canvas, cloth)
    if rng.uniform() < 0.6:
        for x in np.arange(0, canvas.aspect + 0.2, 0.2):
            canvas.fill(box(x, -0.1, x + 0.1, 1.1), WHITE, opacity=0.25)
            canvas.fill(box(-0.1, x, canvas.aspect + 0.1, x + 0.1), WHITE, opacity=0.25)
    view = canvas.at(canvas.aspect / 2, 0.5, 0.36 * rng.uniform(0.85, 1.1), rng.uniform(-12, 12))
    icing, kind = random_colour(rng, (0.3, 0.6)), rng.integers(4)
    view.fill(ellipse(0.05, 0.12, 1.12, 1.08), shade(cloth), opacity=0.7, blur=0.04)
    if kind != 2:
        view.shape(ellipse(0, 0, 1.12), (250, 248, 244))
        view.fill(ellipse(0, 0, 0.9), (232, 230, 232))
    if kind == 0:
        view.shape(ellipse(0, 0, 0.8), ((236, 186, 120), (196, 134, 76)))
        wave = [
            ((0.68 + 0.05 * np.sin(a * 7)) * np.cos(a), (0.68 + 0.05 * np.sin(a * 7)) * np.sin(a))
            for a in np.arange(0, 6.28, 0.2)
        ]
        view.shape(wave, icing, outline=0.8)
        view.shadow(ellipse(0.12, 0.16, 0.62), shade(icing, 0.5), view.mask(wave), 0.6)
        for a in rng.uniform(0, 6.28, 45):
            r, lean = rng.uniform(0.35, 0.62), rng.uniform(0, 180)
            view.fill(
                ellipse(r * np.cos(a), r * np.sin(a), 0.05, 0.016, lean),
                random_colour(rng, (0.5, 0.9)),
            )
        view.shape(ellipse(0, 0, 0.25), (232, 230, 232))
    elif kind == 1:
        view.shape(ellipse(0, 0, 0.86), shade(icing, 0.6))
        broth = ellipse(0, 0, 0.74)
        view.shape(broth, ((226, 158, 82), (196, 118, 60)), outline=0.8)
        inside = view.mask(broth)
        for y in np.arange(-0.6, 0.7, 0.11):
            view.shape(
                band(
                    [(-0.7, y), (-0.2, y + 0.09), (0.25, y - 0.07), (0.7, y + 0.05)], (0.065,) * 3
                ),
                (250, 222, 150),
                outline=0.5,
                inside=inside,
            )
        for x in (-0.3, 0.02):
            view.shape(ellipse(x, -0.22, 0.21, 0.26, 15), (254, 250, 240), outline=0.8)
            view.fill(ellipse(x, -0.2, 0.11), (246, 170, 60))
        view.shape(rounded(0.2, -0.75, 0.62, -0.1, 0.03), (46, 70, 58), outline=0.8)
        for x, y, _ in scatter(canvas, rng, 14):
            view.fill(
                ellipse(x - 0.5, y * 0.55, 0.045, 0.03, 90 * y), (110, 180, 80), inside=inside
            )
    elif kind == 2:
        view.shape("-0.36,0.1! 0.36,0.1! 0,1.15!", (228, 176, 108))
        cone = view.mask("-0.36,0.1! 0.36,0.1! 0,1.15!")
        for x in np.arange(-1, 1, 0.17):
            view.line([(x, 0), (x + 0.6, 1.2)], (186, 128, 70), 1, cone)
            view.line([(x, 0), (x - 0.6, 1.2)], (186, 128, 70), 1, cone)
        for i, (x, y) in enumerate(((-0.22, -0.05), (0.22, -0.05), (0, -0.42))):
            scoop, colour = ellipse(x, y, 0.34), jitter(icing, rng, 40) if i else icing
            view.shape(scoop, colour)
            view.shadow(ellipse(x + 0.12, y + 0.2, 0.3), shade(colour, 0.7), view.mask(scoop))
            view.fill(ellipse(x - 0.12, y - 0.14, 0.08, 0.05, -35), WHITE, opacity=0.8)
        view.shape(ellipse(0.02, -0.8, 0.1), (206, 46, 60))
        view.line("0.04,-0.88 0.1,-1.05 0.22,-1.12", (90, 120, 60), 1.4)
    else:
        for x, y in ((-0.36, 0.2), (0.36, 0.22), (0.0, -0.28)):
            colour = random_colour(rng, (0.55, 0.85))
            fruit = [
                (x, y - 0.34),
                (x + 0.26, y - 0.42),
                (x + 0.42, y - 0.1),
                (x + 0.26, y + 0.34),
                (x, y + 0.3),
                (x - 0.26, y + 0.34),
                (x - 0.42, y - 0.1),
                (x - 0.26, y - 0.42),
            ]
            view.shape(fruit, colour)
            view.shadow(ellipse(x + 0.2, y + 0.18, 0.34, 0.36), shade(colour), view.mask(fruit))
            view.fill(ellipse(x - 0.2, y - 0.18, 0.08, 0.13, 25), mix(colour, WHITE, 0.75))
            view.line([(x, y - 0.32), (x + 0.02, y - 0.46), (x + 0.09, y - 0.55)], (96, 70, 50), 2)
            view.shape(
                [
                    (x + 0.05, y - 0.45, SHARP),
                    (x + 0.2, y - 0.6),
                    (x + 0.36, y - 0.56, SHARP),
                    (x + 0.22, y - 0.44),
                ],
                (110, 176, 88),
                outline=0.8,
            )


def vehicle(canvas: Canvas, rng: Rng) -> None:
    """A car, a bus, a sailing boat or a balloon, in its surroundings."""
    kind, colour = rng.integers(4), random_colour(rng, (0.45, 0.85))
    glass, x = (190, 226, 240), canvas.aspect / 2 + rng.uniform(-0.1, 0.1)
    ground(canvas, (mix((96, 170, 236), random_colour(rng), 0.2), (236, 244, 250)))
    for u, v, size in scatter(canvas, rng, 4, 0.4):
        draw_cloud(canvas.at(u, v + 0.05, 0.08 + 0.08 * size), WHITE, rng)
    if kind == 3:
        canvas.shape(ridge(canvas, rng, 0.85, 0.03), jitter((120, 176, 110), rng))
        view = canvas.at(x, 0.4, 0.3, rng.uniform(-6, 6))
        bag = mirrored("0,-1 0.62,-0.8 0.84,-0.2 0.62,0.4 0.2,0.9! 0,0.92")
        view.shape(bag, colour)
        inside = view.mask(bag)
        for side in (-0.62, 0, 0.62):
            gore = band(
                [(side * 0.2, -1), (side, -0.2), (side * 0.6, 0.4), (side * 0.2, 0.95)],
                (0.05, 0.3, 0.2, 0.05),
            )
            view.fill(gore, mix(colour, WHITE, 0.7), inside=inside)
        view.shadow("0.3,-1 0.62,-0.3 0.3,0.9 1,0.9 1,-1", shade(colour), inside, 0.5)
        for side in (-1, 1):
            view.line([(0.18 * side, 0.9), (0.14 * side, 1.22)], (90, 70, 60), 1)
        view.shape(rounded(-0.17, 1.2, 0.17, 1.5, 0.05), (176, 120, 72))
        return
    if kind == 2:
        ground(canvas, ((84, 168, 214), (30, 92, 160)), 0.66)
        view = canvas.at(x, 0.68, 0.3, rng.uniform(-5, 5))
        view.shape("-0.04,-1.7! -0.04,-0.25! -0.75,-0.25! -0.34,-0.9", (252, 250, 244))
        view.shape("0.05,-1.8! 0.85,-0.25! 0.05,-0.25!", colour)
        view.fill(band("0,0 0,-1.9", (0.05, 0.04)), (120, 84, 60))
        hull = "-0.95,-0.12! 1.1,-0.16! 0.75,0.32 -0.7,0.32"
        view.shape(hull, (246, 240, 232))
        view.fill(box(-1, 0.12, 1.2, 0.4), shade(colour, 0.7), inside=view.mask(hull))
        for u, v, size in scatter(canvas, rng, 30, 0.3):
            canvas.line(
                [(u, 0.74 + v), (u + 0.03, 0.735 + v), (u + 0.06 + 0.08 * size, 0.74 + v)],
                (220, 240, 250),
                1,
            )
        return
    canvas.shape(ridge(canvas, rng, 0.55, 0.04), jitter((126, 178, 120), rng))
    ground(canvas, ((140, 140, 152), (110, 110, 124)), 0.72)
    ground(canvas, (244, 236, 200), 0.88, 0.895)
    view = canvas.at(x, 0.74, 0.34, wide=int(rng.choice([-1, 1])))
    view.fill(ellipse(0, 0.24, 1.2, 0.1), (70, 70, 84), opacity=0.6, blur=0.04)
    if kind == 0:
        body = (
            "-1.1,-0.1 -1.05,-0.36 -0.66,-0.45 -0.35,-0.84 0.3,-0.86 0.62,-0.46 "
            "1.08,-0.34 1.14,0.1! -1.1,0.12!"
        )
        panes = (
            "-0.54,-0.45! -0.28,-0.75 -0.02,-0.76! -0.02,-0.45!",
            "0.06,-0.45! 0.06,-0.76! 0.27,-0.75 0.5,-0.45!",
        )
    else:
        body = rounded(-1.2, -1.0, 1.2, 0.14, 0.12)
        panes = tuple(
            rounded(u, -0.84, u + 0.36, -0.42, 0.05) for u in (-1.08, -0.64, -0.2, 0.24, 0.7)
        )
    view.shape(body, (mix(colour, WHITE, 0.2), colour))
    inside = view.mask(body)
    view.shadow(box(-1.3, -0.12, 1.3, 0.3), shade(colour), inside)
    view.line("-1.05,-0.28 1.05,-0.28", mix(colour, WHITE, 0.6), 1.5, inside)
    for pane in panes:
        view.shape(pane, (glass, mix(glass, WHITE, 0.5)))
    view.shape(ellipse(1.08, -0.18, 0.07, 0.09), (255, 238, 170))
    for u in (-0.66, 0.68):
        view.shape(ellipse(u, 0.12, 0.23), (52, 50, 58))
        view.shape(ellipse(u, 0.12, 0.12), (206, 206, 214), outline=0.8)


def animal(canvas: Canvas, rng: Rng) -> None:
    """A cat, a bear, a rabbit, a chick or a fox, from the front, out of doors."""
    ground(canvas, (mix(random_colour(rng), WHITE, 0.5), mix(random_colour(rng), WHITE, 0.75)))
    for x, y, size in scatter(canvas, rng, 12):
        canvas.fill(ellipse(x, y, 0.02 + 0.03 * size), WHITE, opacity=0.4)
    canvas.shape(ridge(canvas, rng, 0.78, 0.02), jitter((140, 192, 120), rng, 14))
    kind = rng.integers(5)
    fur = jitter(
        [(150, 130, 126), (176, 122, 84), (246, 240, 238), (252, 214, 96), (226, 130, 66)][kind],
        rng,
        14,
    )
    pale = mix(fur, WHITE, 0.65)
    view = canvas.at(
        canvas.aspect / 2 + rng.uniform(-0.08, 0.08),
        0.5,
        0.25 * rng.uniform(0.9, 1.2),
        rng.uniform(-6, 6),
    )
    if kind in (0, 4):
        tail = band("0.4,1.5 1.2,1.5 1.3,0.9 1,0.6", (0.3, 0.36, 0.34, 0.1))
        view.shape(tail, fur)
    trunk = mirrored("0,0.4 0.5,0.6 0.72,1.2 0.66,1.68 0,1.76")
    view.shape(trunk, fur)
    view.fill(ellipse(0, 1.3, 0.4, 0.42), pale)
    for side in (-1, 1):
        half = view.at(0, 0, wide=side)
        ears = {
            0: "0.2,-0.7 0.72,-1.25! 0.92,-0.4",
            1: ellipse(0.66, -0.66, 0.3),
            2: "0.12,-0.7 0.1,-1.5 0.34,-1.9 0.56,-1.4 0.5,-0.6",
            4: "0.16,-0.7 0.8,-1.45! 0.98,-0.3",
        }
        if kind in ears:
            half.shape(ears[kind], fur)
            inner = smooth(ears[kind])
            half.fill(inner.mean(0) + (inner - inner.mean(0)) * 0.55, (244, 176, 176))
        half.shape(ellipse(0.36, 1.7, 0.24, 0.15), pale)
        half.shape(band("0.5,0.9 0.6,1.2 0.42,1.4", (0.26, 0.26, 0.2)), fur)
    head = mirrored("0,-0.8 0.56,-0.72 0.94,-0.22 0.96,0.2 0.66,0.56 0,0.68")
    view.shape(head, fur)
    inside = view.mask(head)
    view.shadow("-1,0.1 -0.6,0.5 0,0.52 0.6,0.5 1,0.1 0.6,1 -0.6,1", shade(fur, 0.8), inside)
    if kind == 4:
        for side in (-1, 1):
            view.fill(
                [(0, 0.1), (0.5 * side, -0.02), (1.0 * side, 0.2), (0.5 * side, 0.7), (0, 0.7)],
                pale,
                inside=inside,
            )
    elif kind == 0:
        for x in (-0.2, 0, 0.2):
            view.fill(
                [(x - 0.06, -0.85), (x + 0.06, -0.85), (x, -0.5, SHARP)],
                shade(fur, 1.4),
                inside=inside,
            )
    if kind in (1, 2):
        view.fill(ellipse(0, 0.3, 0.34, 0.26), pale)
    for side in (-1, 1):
        view.fill(ellipse(0.42 * side, -0.02, 0.14, 0.18), INK)
        view.fill(ellipse(0.42 * side - 0.04, -0.08, 0.055), WHITE)
        view.fill(ellipse(0.62 * side, 0.26, 0.14, 0.08), (244, 128, 128), opacity=0.6, blur=0.04)
    if kind == 3:
        view.shape("-0.2,0.14 0,0.04 0.2,0.14 0,0.34!", (242, 148, 50))
        view.line("0,-0.78 0.05,-1 0.18,-1.02", shade(fur), 3)
    else:
        view.shape("-0.09,0.14 0.09,0.14 0,0.26", (90, 56, 60), outline=0.6)
        view.line("-0.2,0.33 -0.1,0.4 0,0.28 0.1,0.4 0.2,0.33", (70, 44, 50), 1.3)


def clipart(canvas: Canvas, rng: Rng) -> None:
    """One thing on a plain ground: a mug, a plant, an umbrella, a lamp or books."""
    ground(canvas, mix(random_colour(rng, (0.2, 0.6)), WHITE, rng.choice([0.0, 0.5, 1.0])))
    view = canvas.at(canvas.aspect / 2, 0.5, 0.36 * rng.uniform(0.8, 1.1), rng.uniform(-10, 10))
    colour, second = random_colour(rng, (0.4, 0.8)), random_colour(rng, (0.4, 0.8))
    if rng.uniform() < 0.5:
        view.fill(ellipse(0, 0, 1.15), mix(second, WHITE, 0.7))
    kind = rng.integers(5)
    if kind == 0:
        view.shape(band("0.5,-0.3 0.98,-0.25 0.9,0.3 0.5,0.4", (0.16,) * 4), shade(colour, 0.4))
        mug = "-0.6,-0.6! 0.6,-0.6! 0.55,0.55 0.4,0.75 -0.4,0.75 -0.55,0.55"
        view.shape(mug, colour)
        view.shadow("0.2,-0.7 0.3,0.2 0.1,0.8 0.7,0.8 0.7,-0.7", shade(colour), view.mask(mug))
        view.shape(ellipse(0, -0.6, 0.6, 0.16), mix(colour, WHITE, 0.5))
        view.fill(ellipse(0, -0.56, 0.5, 0.11), (110, 68, 48))
        view.fill(star(-0.1, 0.12, 0.26), mix(second, WHITE, 0.5))
        for x in (-0.2, 0.15):
            view.line(
                [(x, -0.75), (x + 0.1, -0.92), (x - 0.05, -1.05), (x + 0.06, -1.25)],
                mix(second, INK, 0.2),
                2.5,
            )
    elif kind == 1:
        for lean in (-62, -34, -8, 20, 48, 74):
            leaf = view.at(0, 0.15, turn=lean)
            leaf.shape("0,0! 0.22,-0.5 0,-1.15! -0.22,-0.5", jitter((86, 160, 96), rng, 14))
            leaf.line("0,-0.05 0,-0.95", (60, 116, 74), 1)
        pot = "-0.5,0.1! 0.5,0.1! 0.36,0.9! -0.36,0.9!"
        view.shape(pot, colour)
        view.shadow(box(0.1, 0, 0.6, 1), shade(colour), view.mask(pot))
        view.shape(rounded(-0.58, 0.0, 0.58, 0.22, 0.05), mix(colour, WHITE, 0.15))
    elif kind == 2:
        view.fill(band("0,-0.6 0,0.75 0.16,0.92 0.32,0.75", (0.07,) * 4), (110, 80, 64))
        for i, (x0, x1) in enumerate(((-1, -0.5), (-0.5, 0), (0, 0.5), (0.5, 1))):
            panel = [
                (0, -0.85, SHARP),
                (x0, -0.05 - 0.1 * (abs(x0) < 1), SHARP),
                ((x0 + x1) / 2, -0.16),
                (x1, -0.05 - 0.1 * (abs(x1) < 1), SHARP),
                ((x1 + (x1 > 0) * 0.1) * 0.72, -0.58),
            ]
            view.shape(panel, colour if i % 2 else second)
    elif kind == 3:
        view.fill(ellipse(0, 0.5, 0.8, 0.5), (255, 240, 180), opacity=0.5, blur=0.12)
        view.shape(band("0,0 0,0.85", (0.1, 0.1)), (120, 100, 96))
        view.shape(rounded(-0.4, 0.8, 0.4, 0.95, 0.06), (120, 100, 96))
        view.shape("-0.32,-0.8! 0.32,-0.8! 0.68,0.1! -0.68,0.1!", (colour, mix(colour, WHITE, 0.5)))
    else:
        for y in (0.6, 0.3, 0.0, -0.3):
            x, tone = rng.uniform(-0.15, 0.15), random_colour(rng, (0.4, 0.8))
            view.shape(rounded(x - 0.75, y - 0.02, x + 0.75, y + 0.28, 0.05), tone)
            view.shape(box(x + 0.55, y + 0.03, x + 0.77, y + 0.23), (250, 244, 226), outline=0.6)
            view.line([(x - 0.55, y), (x - 0.55, y + 0.26)], mix(tone, WHITE, 0.6), 2)


def sea(canvas: Canvas, rng: Rng) -> None:
    """Fish, bubbles and weeds under water."""
    deep = mix((20, 90, 150), random_colour(rng), 0.2)
    ground(canvas, (mix(deep, (200, 244, 250), 0.6), shade(deep, 0.8)))
    for x in rng.uniform(0, canvas.aspect, 3):
        canvas.fill(band([(x, -0.1), (x - 0.3, 1.0)], (0.06, 0.22)), WHITE, opacity=0.16, blur=0.01)
    for x in rng.uniform(0, canvas.aspect, 7):
        tall, sway = rng.uniform(0.2, 0.5), rng.uniform(-0.06, 0.06)
        weed = band(
            [(x, 1.0), (x + sway, 1 - tall * 0.5), (x - sway, 1 - tall)], (0.05, 0.04, 0.005)
        )
        canvas.shape(weed, jitter((50, 150, 110), rng, 22), outline=0.8)
    canvas.shape(ridge(canvas, rng, 0.93, 0.015), (236, 214, 160))
    for x, y, size in scatter(canvas, rng, rng.integers(3, 8), 0.75):
        colour, view = (
            random_colour(rng, (0.5, 0.9)),
            canvas.at(
                x, y + 0.1, 0.06 + 0.07 * size, rng.uniform(-12, 12), int(rng.choice([-1, 1]))
            ),
        )
        view.shape("-0.8,0! -1.4,-0.5 -1.25,0 -1.4,0.5", shade(colour, 0.5))
        view.shape("-0.3,-0.5 0.1,-0.95 0.5,-0.45", shade(colour, 0.5))
        fish = "-0.95,0 -0.2,-0.58 0.6,-0.45 1,0.02 0.6,0.45 -0.2,0.55"
        view.shape(fish, colour)
        inside = view.mask(fish)
        view.shadow(box(-1, 0.12, 1.1, 1), shade(colour), inside)
        for u in (-0.3, 0.1):
            view.fill(
                band([(u, -0.7), (u + 0.1, 0), (u, 0.7)], (0.14,) * 3),
                mix(colour, WHITE, 0.75),
                inside=inside,
            )
        view.fill(ellipse(0.6, -0.1, 0.16), WHITE)
        view.fill(ellipse(0.64, -0.08, 0.09), INK)
    for x, y, size in scatter(canvas, rng, 18):
        canvas.fill(ellipse(x, y, 0.006 + 0.016 * size), WHITE, opacity=0.5)


def flowers(canvas: Canvas, rng: Rng) -> None:
    """A meadow of large flowers, near ones over far ones."""
    ground(canvas, (mix(random_colour(rng), WHITE, 0.5), (146, 196, 128)))
    for x, y, size in sorted(scatter(canvas, rng, rng.integers(9, 20)), key=lambda p: p[1]):
        y, colour = 0.25 + 0.65 * y, random_colour(rng, (0.35, 0.75))
        canvas.shape(
            band([(x + rng.normal(0, 0.04), 1.05), (x, y)], (0.02, 0.012)),
            (80, 146, 84),
            outline=0.7,
        )
        view = canvas.at(x, y, 0.07 + 0.09 * y * (0.4 + size), rng.uniform(0, 60))
        petals = int(rng.integers(5, 10))
        for turn in np.arange(petals) * 360 / petals:
            petal = view.at(0, 0, turn=turn)
            petal.shape(
                [(0, 0, SHARP), (2.2 / petals, -0.55), (0.0, -1.0), (-2.2 / petals, -0.55)],
                (mix(colour, WHITE, 0.25), colour),
            )
            petal.line("0,-0.3 0,-0.7", shade(colour, 0.7), 0.8)
        view.shape(ellipse(0, 0, 0.28), (248, 206, 84))
        view.shadow(ellipse(0.08, 0.1, 0.22), (214, 150, 50), view.mask(ellipse(0, 0, 0.28)))


def comic(canvas: Canvas, rng: Rng) -> None:
    """A page of panels, each a scene of its own, with balloons and speed lines."""
    ground(canvas, (252, 250, 246))
    rows = [
        float(y) for y in np.cumsum([0.02, *rng.dirichlet([9] * int(rng.integers(2, 4))) * 0.96])
    ]
    for top, bottom in zip(rows, rows[1:], strict=False):
        split = rng.uniform(0.4, 0.6) if rng.uniform() < 0.7 else 1.0
        for left, right in ((0.0, split), (split, 1.0))[: 1 if split == 1 else 2]:
            _panel(
                canvas,
                rng,
                (
                    0.02 + left * (canvas.aspect - 0.03),
                    top,
                    0.01 + right * (canvas.aspect - 0.03),
                    bottom - 0.02,
                ),
            )


def _panel(canvas: Canvas, rng: Rng, frame: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = (round(v * canvas.scale) for v in frame)
    inner = Canvas(
        canvas.pixels[y0:y1, x0:x1],
        np.array([[y1 - y0, 0, 0], [0, y1 - y0, 0]], float),
        canvas.style,
    )
    scene = [landscape, night, animal, vehicle, person, person, person][rng.integers(7)]
    scene(inner, rng)
    if rng.uniform() < 0.3:
        middle = (inner.aspect / 2, 0.5)
        for angle in rng.uniform(0, 2 * np.pi, 40):
            away = np.array([np.cos(angle), np.sin(angle)])
            inner.fill(
                band(
                    [tuple(middle + away * rng.uniform(0.5, 0.6)), tuple(middle + away * 1.6)],
                    (0.0, 0.03),
                ),
                INK,
            )
    canvas.fill(band(np.vstack([box(*frame), box(*frame)[:2]]), (0.012, 0.012)), INK)
    if rng.uniform() < 0.75:
        width = (frame[2] - frame[0]) * 0.22
        x, y = frame[0] + width * rng.uniform(1.1, 3.2), frame[1] + width * 0.62
        canvas.shape(
            [
                (x - 0.03, y + 0.02, SHARP),
                (x + 0.03, y + 0.02, SHARP),
                (x + 0.04, y + width * 0.9, SHARP),
            ],
            WHITE,
        )
        canvas.shape(ellipse(x, y, width, width * 0.55), WHITE)
        for row in (-0.22, 0.0, 0.22):
            canvas.line(
                [
                    (x - width * 0.6, y + row * width),
                    (x + width * rng.uniform(0.2, 0.6), y + row * width),
                ],
                INK,
                1.6,
            )


def person(canvas: Canvas, rng: Rng) -> None:
    """Somebody who is none of the cast."""
    draw_backdrop(canvas, rng)
    backs, fringes = list(BACK_HAIR), list(FRINGE)
    hair, eyes = (bytes(random_colour(rng)).hex() for _ in range(2))
    design = Design(
        "",
        hair,
        eyes,
        backs[rng.integers(6)],
        fringes[rng.integers(6)],
        rng.uniform(0.3, 1.2),
        "",
        eyes,
    )  # type: ignore
    draw_figure(
        canvas.at(canvas.aspect * rng.uniform(0.4, 0.6), 0.42, 0.23), random_look(design, rng)
    )


SCENES: dict[str, Callable[[Canvas, Rng], None]] = {
    "landscape": landscape,
    "animal": animal,
    "food": food,
    "vehicle": vehicle,
    "building": building,
    "comic": comic,
    "clipart": clipart,
    "night": night,
    "sea": sea,
    "flowers": flowers,
}


def draw_backdrop(canvas: Canvas, rng: Rng) -> None:
    """What is behind a figure: plain, a gradient, a pattern, a sky, a room, or a night."""
    colour = mix(random_colour(rng, (0.2, 0.6)), WHITE, rng.uniform(0.1, 0.6))
    other = mix(random_colour(rng, (0.2, 0.6)), WHITE, 0.5)
    kind = rng.choice(
        [
            "plain",
            "gradient",
            "dots",
            "stripes",
            "bokeh",
            "petals",
            "sky",
            "room",
            "rays",
            "outdoors",
            "night",
        ]
    )
    ground(canvas, colour if kind in ("plain", "dots", "stripes", "rays") else (colour, other))
    if kind == "dots":
        for row, y in enumerate(np.arange(0, 1.1, 0.09)):
            for x in np.arange(0.045 * (row % 2), canvas.aspect + 0.1, 0.09):
                canvas.fill(ellipse(x, y, 0.022), mix(colour, WHITE, 0.5))
    elif kind == "stripes":
        for x in np.arange(-1, canvas.aspect + 0.1, 0.14):
            canvas.fill(band([(x, 1.1), (x + 0.9, -0.1)], (0.05, 0.05)), mix(colour, WHITE, 0.45))
    elif kind == "rays":
        for turn in range(0, 360, 30):
            canvas.at(canvas.aspect / 2, 0.45, turn=turn).fill(
                "0,0! -0.2,-1.4! 0.2,-1.4!", mix(colour, WHITE, 0.4)
            )
    elif kind == "bokeh":
        for x, y, size in scatter(canvas, rng, 24):
            canvas.fill(ellipse(x, y, 0.02 + 0.07 * size), WHITE, opacity=0.3, blur=0.004)
    elif kind == "petals":
        for x, y, size in scatter(canvas, rng, 26):
            canvas.at(x, y, 0.02 + 0.02 * size, 360 * size).fill(
                "0,-1! 0.7,0 0,0.9 -0.7,0", mix((250, 170, 190), WHITE, size * 0.6)
            )
    elif kind == "sky":
        ground(canvas, ((80, 156, 236), (206, 236, 252)))
        for x, y, size in scatter(canvas, rng, 6):
            draw_cloud(canvas.at(x, y, 0.1 + 0.14 * size), WHITE, rng)
    elif kind == "room":
        _room(canvas, rng, mix(colour, (248, 236, 220), 0.5))
    elif kind == "outdoors":
        (landscape if rng.uniform() < 0.6 else building)(canvas, rng)
    elif kind == "night":
        night(canvas, rng)


def _room(canvas: Canvas, rng: Rng, wall: Colour) -> None:
    ground(canvas, (wall, shade(wall, 0.3)))
    ground(canvas, shade(mix(wall, (180, 120, 80), 0.5), 0.4), 0.86)
    x = rng.uniform(0, 0.25)
    frame = (x, 0.1, x + 0.34, 0.56)
    canvas.shape(box(*frame), ((130, 190, 240), (226, 242, 250)))
    draw_cloud(canvas.at(x + 0.15, 0.36, 0.09), WHITE, rng)
    canvas.fill(band(np.vstack([box(*frame), box(*frame)[:1]]), (0.03, 0.03)), (250, 246, 240))
    canvas.fill(box(x + 0.162, 0.1, x + 0.178, 0.56), (250, 246, 240))
    for y in (0.24, 0.48):
        canvas.shape(
            box(canvas.aspect - 0.28, y, canvas.aspect, y + 0.02), (150, 104, 74), outline=0.8
        )
        for u in np.arange(canvas.aspect - 0.26, canvas.aspect, 0.035):
            tall = rng.uniform(0.1, 0.17)
            canvas.shape(
                box(u, y - tall, u + 0.032, y), random_colour(rng, (0.3, 0.6)), outline=0.6
            )


# --- pictures


def random_style(rng: Rng) -> Style:
    """One of the ways in which a picture is drawn."""
    shading = ("cel", "cel", "soft", "flat")[rng.integers(4)]
    finish = (
        "plain",
        "plain",
        "plain",
        "light",
        "light",
        "halftone",
        "watercolour",
        "paper",
        "grey",
    )[rng.integers(9)]
    pen = float(rng.choice([0.0, 0.9, 1.2, 1.6, 2.2]))
    return Style(pen, bool(rng.uniform() < 0.6), shading, finish)  # type: ignore


def draw_scene(kind: str, width: int, height: int, rng: Rng) -> np.ndarray:
    """A drawing of a kind in `SCENES`, or of a `person`, as uint8 [height, width, 3] RGB."""
    canvas = Canvas.blank(width, height, random_style(rng))
    {**SCENES, "person": person}[kind](canvas, rng)
    return finish(canvas, rng)


def draw_illustration(design: Design, width: int, height: int, rng: Rng) -> np.ndarray:
    """An illustration of one of the cast as uint8 [height, width, 3] RGB, upright format.

    In one of twelve somebody else stands behind; the face is at least a sixth of the height.
    """
    style = random_style(rng)
    if style.finish == "grey":  # colours are what tells many characters apart
        style = replace(style, finish="plain")
    canvas = Canvas.blank(width, height, style)
    draw_backdrop(canvas, rng)
    near, eye_level = ((0.235, 0.44), (0.19, 0.36), (0.12, 0.2))[rng.choice(3, p=[0.4, 0.45, 0.15])]
    size = near * rng.uniform(0.93, 1.07)
    x, y = canvas.aspect / 2 + rng.normal(0, 0.03), eye_level + rng.normal(0, 0.015)
    if rng.uniform() < 0.08:
        others = [other for other in CAST if other is not design]
        side = float(rng.choice([-1, 1]))
        behind = canvas.at(x + side * 0.24, y - 0.01, size * 0.72)
        draw_figure(behind, random_look(others[rng.integers(len(others))], rng))
        x -= side * 0.12
    draw_figure(canvas.at(x, y, size), random_look(design, rng))
    return finish(canvas, rng)


def finish(canvas: Canvas, rng: Rng) -> np.ndarray:
    """The canvas reduced to its size, with the style's finish and the light's colour, as uint8."""
    height, width = (n // SUPERSAMPLING for n in canvas.pixels.shape[:2])
    small = cv2.resize(canvas.pixels, (width, height), interpolation=cv2.INTER_AREA)
    picture = small.astype(np.float32)
    kind = canvas.style.finish
    if kind == "grey":
        picture[:] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None]
    if kind in ("halftone", "grey"):
        picture *= _halftone(picture, 0.75 if kind == "grey" else 0.86)
    elif kind == "watercolour":
        picture = _watercolour(small, rng)
    elif kind == "light":
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        fall = np.float32(1.06 - 0.16 * np.hypot(x - rng.uniform(-0.8, 0.8), y + 0.8))
        picture *= fall[..., None]
    if kind in ("paper", "watercolour"):
        picture += cv2.GaussianBlur(
            rng.normal(0, 9, (height, width)).astype(np.float32), (0, 0), 0.7
        )[..., None]
    picture *= np.float32(rng.normal(1, 0.025, 3) * rng.uniform(0.93, 1.04))
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _halftone(picture: np.ndarray, depth: float) -> np.ndarray:
    """A screen of dots at 45 degrees, larger where the picture is darker."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    wave = np.cos((x + y) * 1.1) * np.cos((x - y) * 1.1) * 0.5 + 0.5
    dark = 1 - cv2.GaussianBlur(picture.mean(2), (0, 0), 1.5) / 255
    dot = np.clip((wave - (1 - dark * 0.8)) * 4 + 0.5, 0, 1)
    return (1 - (1 - depth) * dot)[..., None]


def _watercolour(small: np.ndarray, rng: Rng) -> np.ndarray:
    """Wavering edges, pools of pigment, and a darker rim where the paint dried."""
    height, width = small.shape[:2]

    def blots(cells: int, strength: float) -> np.ndarray:
        coarse = rng.normal(0, strength, (cells, cells)).astype(np.float32)
        return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)

    y, x = np.mgrid[:height, :width].astype(np.float32)
    wet = cv2.remap(
        small,
        x + blots(48, 1.1),
        y + blots(48, 1.1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    base = cv2.bilateralFilter(wet, 5, 40, 3).astype(np.float32)
    rim = np.clip(cv2.GaussianBlur(base, (0, 0), 3) - base, -30, 30)
    return (base - 0.5 * rim) * (1 + blots(9, 0.06) + blots(30, 0.03))[..., None] * 0.93 + 17
