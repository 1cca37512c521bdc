"""Drawings of other kinds, and what stands behind a figure.

The local unit is the picture's height; x goes from 0 to `canvas.aspect`.

Longer than other files: one short function a scene, each to be read by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from stages.sample.canvas import (
    INK,
    SHARP,
    WHITE,
    Canvas,
    Colour,
    Paint,
    Points,
    Rng,
    band,
    box,
    ellipse,
    jitter,
    mirrored,
    mix,
    random_colour,
    rounded,
    shade,
    smooth,
    star,
)
from stages.sample.cast import BACK_HAIR, FRINGE, Design, draw_figure, random_look


def ground(canvas: Canvas, paint: Paint, top: float = 0, bottom: float = 1) -> None:
    """A strip across the whole picture."""
    canvas.fill(box(-0.1, top, canvas.aspect + 0.1, bottom + 0.01), paint)


def scatter(
    canvas: Canvas, rng: Rng, count: int | np.integer, low: float = 1.0
) -> list[tuple[float, float, float]]:
    """`count` places as (x, y, a random number from 0 to 1), y from 0 to `low`."""
    return [(x, y * low, size) for x, y, size in rng.uniform(0, (canvas.aspect, 1, 1), (count, 3))]


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
        stream = [(x, 0.79), (x + 0.05, 0.84), (x - 0.02, 0.92), (x + 0.06, 1.06)]
        canvas.shape(band(stream, (0.01, 0.05, 0.12, 0.24)), ((196, 228, 246), (86, 150, 214)))


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
    wall = mix(random_colour(rng, (0.1, 0.4)), WHITE, 0.4)
    roof = shade(random_colour(rng, (0.4, 0.7)), 0.7)
    tall, pane = rng.uniform(0.7, 1.4), (174, 216, 236)
    front = box(-0.42, -tall, 0.42, 0)
    view.shape(front, wall)
    view.shadow(box(-0.5, -tall, 0.5, -tall + 0.09), shade(wall), view.mask(front))
    view.shadow(box(0.22, -tall, 0.5, 0), shade(wall), view.mask(front), 0.5)
    ridge_line = "0.36,-0.4! -0.36,-0.4!" if rng.uniform() < 0.5 else "0,-0.5!"
    view.at(0, -tall).shape(f"-0.55,0! 0.55,0! {ridge_line}", roof)
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
    fit = 0.36 * min(1, canvas.aspect * 1.15)
    view = canvas.at(canvas.aspect / 2, 0.5, fit * rng.uniform(0.85, 1.1), rng.uniform(-12, 12))
    icing, kind = random_colour(rng, (0.3, 0.6)), rng.integers(4)
    view.fill(ellipse(0.05, 0.12, 1.12, 1.08), shade(cloth), opacity=0.7, blur=0.04)
    if kind != 2:
        view.shape(ellipse(0, 0, 1.12), (250, 248, 244))
        view.fill(ellipse(0, 0, 0.9), (232, 230, 232))
    if kind == 0:
        view.shape(ellipse(0, 0, 0.8), ((236, 186, 120), (196, 134, 76)))
        angle = np.arange(0, 6.28, 0.05)
        edge = 0.68 + 0.05 * np.sin(angle * 7)
        wave = np.stack([edge * np.cos(angle), edge * np.sin(angle)], 1)
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
        noodle = band("-0.7,0 -0.2,0.09 0.25,-0.07 0.7,0.05", (0.065,) * 3)
        for y in np.arange(-0.6, 0.7, 0.11):
            view.shape(noodle + np.array([0, y]), (250, 222, 150), 0.5, inside)
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
            one, colour = view.at(x, y), random_colour(rng, (0.55, 0.85))
            fruit = "0,-0.34 0.26,-0.42 0.42,-0.1 0.26,0.34 0,0.3 -0.26,0.34 -0.42,-0.1 -0.26,-0.42"
            one.shape(fruit, colour)
            one.shadow(ellipse(0.2, 0.18, 0.34, 0.36), shade(colour), one.mask(fruit))
            one.fill(ellipse(-0.2, -0.18, 0.08, 0.13, 25), mix(colour, WHITE, 0.75))
            one.line("0,-0.32 0.02,-0.46 0.09,-0.55", (96, 70, 50), 2)
            one.shape("0.05,-0.45! 0.2,-0.6 0.36,-0.56! 0.22,-0.44", (110, 176, 88), 0.8)


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
            gore = [(side * 0.2, -1), (side, -0.2), (side * 0.6, 0.4), (side * 0.2, 0.95)]
            view.fill(band(gore, (0.05, 0.3, 0.2, 0.05)), mix(colour, WHITE, 0.7), inside=inside)
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
            canvas.at(u, 0.74 + v).line(
                [(0, 0), (0.03, -0.005), (0.06 + 0.08 * size, 0)], (220, 240, 250)
            )
        return
    canvas.shape(ridge(canvas, rng, 0.55, 0.04), jitter((126, 178, 120), rng))
    ground(canvas, ((140, 140, 152), (110, 110, 124)), 0.72)
    ground(canvas, (244, 236, 200), 0.88, 0.895)
    view = canvas.at(x, 0.76, 0.34 * min(1, canvas.aspect), wide=int(rng.choice([-1, 1])))
    view.fill(ellipse(0, 0.24, 1.2, 0.1), (70, 70, 84), opacity=0.6, blur=0.04)
    body: Points
    panes: Sequence[Points]
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


FURS: tuple[Colour, ...] = (
    (150, 130, 126),
    (176, 122, 84),
    (246, 240, 238),
    (252, 214, 96),
    (226, 130, 66),
)


def animal(canvas: Canvas, rng: Rng) -> None:
    """A cat, a bear, a rabbit, a chick or a fox, from the front, out of doors."""
    ground(canvas, (mix(random_colour(rng), WHITE, 0.5), mix(random_colour(rng), WHITE, 0.75)))
    for x, y, size in scatter(canvas, rng, 12):
        canvas.fill(ellipse(x, y, 0.02 + 0.03 * size), WHITE, opacity=0.4)
    canvas.shape(ridge(canvas, rng, 0.78, 0.02), jitter((140, 192, 120), rng, 14))
    kind = int(rng.integers(5))
    fur = jitter(FURS[kind], rng, 14)
    pale = mix(fur, WHITE, 0.65)
    x, size = canvas.aspect / 2 + rng.uniform(-0.08, 0.08), 0.25 * rng.uniform(0.9, 1.2)
    view = canvas.at(x, 0.5, size, rng.uniform(-6, 6))
    if kind in (0, 4):
        tail = band("0.4,1.5 1.2,1.5 1.3,0.9 1,0.6", (0.3, 0.36, 0.34, 0.1))
        view.shape(tail, fur)
    trunk = mirrored("0,0.4 0.5,0.6 0.72,1.2 0.66,1.68 0,1.76")
    view.shape(trunk, fur)
    view.fill(ellipse(0, 1.3, 0.4, 0.42), pale)
    for side in (-1, 1):
        half = view.at(0, 0, wide=side)
        ears: dict[int, Points] = {
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
    fit = 0.36 * min(1, canvas.aspect * 1.15)
    view = canvas.at(canvas.aspect / 2, 0.5, fit * rng.uniform(0.8, 1.1), rng.uniform(-10, 10))
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
        dome = (
            "-1,0! -0.92,-0.45 -0.5,-0.82 0,-0.92 0.5,-0.82 0.92,-0.45 1,0! 0.75,-0.12 0.5,0! "
            "0.25,-0.12 0,0! -0.25,-0.12 -0.5,0! -0.75,-0.12"
        )
        view.shape(dome, colour)
        inside = view.mask(dome)
        for x in (-0.5, 0.5):
            gore = f"0,-0.92 {x - 0.24},-0.5 {x - 0.25},0.1 {x + 0.25},0.1 {x + 0.24},-0.5"
            view.fill(gore, mix(second, WHITE, 0.3), inside)
        view.shadow("0.2,-1 0.6,-0.5 0.7,0.2 1.1,0.2 1,-1", shade(colour), inside, 0.6)
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
        colour, facing = random_colour(rng, (0.5, 0.9)), int(rng.choice([-1, 1]))
        view = canvas.at(x, y + 0.1, 0.06 + 0.07 * size, rng.uniform(-12, 12), facing)
        view.shape("-0.8,0! -1.4,-0.5 -1.25,0 -1.4,0.5", shade(colour, 0.5))
        view.shape("-0.3,-0.5 0.1,-0.95 0.5,-0.45", shade(colour, 0.5))
        fish = "-0.95,0 -0.2,-0.58 0.6,-0.45 1,0.02 0.6,0.45 -0.2,0.55"
        view.shape(fish, colour)
        inside = view.mask(fish)
        view.shadow(box(-1, 0.12, 1.1, 1), shade(colour), inside)
        for u in (-0.3, 0.1):
            stripe = band([(u, -0.7), (u + 0.1, 0), (u, 0.7)], (0.14,) * 3)
            view.fill(stripe, mix(colour, WHITE, 0.75), inside)
        view.fill(ellipse(0.6, -0.1, 0.16), WHITE)
        view.fill(ellipse(0.64, -0.08, 0.09), INK)
    for x, y, size in scatter(canvas, rng, 18):
        canvas.fill(ellipse(x, y, 0.006 + 0.016 * size), WHITE, opacity=0.5)


def flowers(canvas: Canvas, rng: Rng) -> None:
    """A meadow of large flowers, near ones over far ones."""
    ground(canvas, (mix(random_colour(rng), WHITE, 0.5), (146, 196, 128)))
    for x, y, size in sorted(scatter(canvas, rng, rng.integers(9, 20)), key=lambda p: p[1]):
        y, colour = 0.25 + 0.65 * y, random_colour(rng, (0.35, 0.75))
        stalk = band([(x + rng.normal(0, 0.04), 1.05), (x, y)], (0.02, 0.012))
        canvas.shape(stalk, (80, 146, 84), 0.7)
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
    heights = rng.dirichlet([9] * int(rng.integers(2, 4))) * 0.96
    rows = [float(y) for y in np.cumsum([0.02, *heights])]
    for top, bottom in itertools.pairwise(rows):
        split = rng.uniform(0.4, 0.6) if rng.uniform() < 0.7 else 1.0
        for left, right in ((0.0, split), (split, 1.0))[: 1 if split == 1 else 2]:
            wide = canvas.aspect - 0.03
            frame = (0.02 + left * wide, top, 0.01 + right * wide, bottom - 0.02)
            _panel(canvas, rng, frame)


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
            ends = [tuple(middle + away * rng.uniform(0.5, 0.6)), tuple(middle + away * 1.6)]
            inner.fill(band(ends, (0.0, 0.03)), INK)
    canvas.fill(band(np.vstack([box(*frame), box(*frame)[:2]]), (0.012, 0.012)), INK)
    if rng.uniform() < 0.75:
        width = (frame[2] - frame[0]) * 0.22
        place = frame[0] + width * rng.choice([1.15, 3.3])
        balloon = canvas.at(place, frame[1] + width * 0.62, width)
        balloon.shape("-0.15,0.2! 0.2,0.2! 0.25,1!", WHITE)
        balloon.shape(ellipse(0, 0, 1, 0.55), WHITE)
        for row in (-0.22, 0.0, 0.22):
            balloon.line([(-0.6, row), (rng.uniform(0.2, 0.6), row)], INK, 1.6)


def person(canvas: Canvas, rng: Rng) -> None:
    """Somebody who is none of the cast."""
    draw_backdrop(canvas, rng)
    back, fringe = list(BACK_HAIR)[rng.integers(6)], list(FRINGE)[rng.integers(6)]
    hair, eyes = (bytes(random_colour(rng)).hex() for _ in range(2))
    design = Design("", hair, eyes, back, fringe, rng.uniform(0.3, 1.2), "", eyes)
    figure = canvas.at(canvas.aspect * rng.uniform(0.4, 0.6), 0.42, 0.23)
    draw_figure(figure, random_look(design, rng))


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


BACKDROPS = (
    *("plain", "gradient", "dots", "stripes", "rays", "bokeh"),
    *("petals", "sky", "room", "outdoors", "night"),
)


def draw_backdrop(canvas: Canvas, rng: Rng) -> None:
    """What is behind a figure: plain, a gradient, a pattern, a sky, a room, or a night."""
    colour = mix(random_colour(rng, (0.2, 0.6)), WHITE, rng.uniform(0.1, 0.6))
    other = mix(random_colour(rng, (0.2, 0.6)), WHITE, 0.5)
    kind = rng.choice(BACKDROPS)
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
