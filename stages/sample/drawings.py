"""Whole pictures: a scene or an illustration, in a style and with a finish."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from stages.sample.canvas import SUPERSAMPLING, Canvas, Rng, Style
from stages.sample.cast import CAST, Design, draw_figure, random_look
from stages.sample.scenes import SCENES, draw_backdrop, person

FINISHES = (*("plain",) * 4, *("light",) * 3, "halftone", "watercolour", "paper", "grey")


def random_style(rng: Rng) -> Style:
    """One of the ways in which a picture is drawn."""
    shading = ("cel", "cel", "soft", "flat")[rng.integers(4)]
    finish = FINISHES[rng.integers(len(FINISHES))]
    pen = float(rng.choice([0.0, 0.9, 1.2, 1.6, 2.2]))
    return Style(pen, bool(rng.uniform() < 0.6), shading, finish)


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
    near, eye_level = ((0.235, 0.44), (0.19, 0.36), (0.126, 0.19))[
        rng.choice(3, p=[0.4, 0.45, 0.15])
    ]
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
        picture[:] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None] * 0.82 + 46
    if kind in ("halftone", "grey"):
        picture *= _halftone(picture, 0.82 if kind == "grey" else 0.88)
    elif kind == "watercolour":
        picture = _watercolour(small, rng)
    elif kind == "light":
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        fall = 1.12 - 0.09 * np.hypot(x - rng.uniform(-0.8, 0.8), y + 0.8)
        picture *= fall[..., None].astype(np.float32)
    if kind in ("paper", "watercolour"):
        picture += cv2.GaussianBlur(
            rng.normal(0, 9, (height, width)).astype(np.float32), (0, 0), 0.7
        )[..., None]
    picture *= np.float32(rng.normal(1, 0.025, 3) * rng.uniform(0.97, 1.05))
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
    shift = (x + blots(22, 0.9), y + blots(22, 0.9))
    wet = cv2.remap(small, *shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    base = cv2.bilateralFilter(wet, 5, 40, 3).astype(np.float32)
    rim = np.clip(cv2.GaussianBlur(base, (0, 0), 3) - base, -30, 30)
    return (base - 0.5 * rim) * (1 + blots(9, 0.06) + blots(30, 0.03))[..., None] * 0.9 + 26


def picture_size(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height in pixels: the longer side 256 to 480, from upright to landscape format."""
    long, ratio = int(rng.integers(256, 481)), rng.choice([0.67, 0.75, 0.8, 1.0])
    short = round(long * ratio)
    return (long, short) if rng.uniform() < 0.6 else (short, long)


def scene(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A drawing of any size as uint8 [H, W, 3]."""
    return draw_scene(kind, *picture_size(rng), rng)


def illustration(design: Design, rng: np.random.Generator) -> np.ndarray:
    """A character, 340 to 420 pixels high, as uint8 [H, W, 3]."""
    height = int(rng.integers(340, 421))
    return draw_illustration(design, round(height * rng.choice([0.7, 0.8, 1.0])), height, rng)
