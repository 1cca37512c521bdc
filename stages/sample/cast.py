"""The cast: who they are, and how a figure is drawn. Local unit: half a face's width.

Longer than other files: half of it is the table of designs and the shapes of hair.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from stages.sample.canvas import (
    INK,
    SHARP,
    WHITE,
    Canvas,
    Colour,
    Path,
    Rng,
    band,
    box,
    ellipse,
    flush,
    glow,
    jitter,
    mirrored,
    mix,
    path,
    random_colour,
    rgb,
    rounded,
    shade,
    smooth,
    star,
)


@dataclass(frozen=True)
class Design:
    """What makes a character recognisable; colours as hex codes."""

    name: str
    hair: str
    eyes: str
    back: str  # of `BACK_HAIR`
    fringe: str  # of `FRINGE`
    locks: float  # how far down the side locks reach, 0 for none
    accessory: str
    accent: str
    slant: float = 0.0  # degrees the outer corners of the eyes go up
    narrow: float = 1.0  # height of the eyes
    skin: str = "ffe4d4"


CAST = (
    Design("amari", "343a5e", "8a5cc8", "long", "straight", 1.25, "ribbon", "d8404f"),
    Design("fennel", "7fa660", "c9862b", "short", "spiky", 0.45, "headphones", "e8e3d8", 4, 0.86),
    Design("juno", "8a5438", "4a9a5f", "bob", "wispy", 0.85, "glasses", "3f4a6b"),
    Design("kirika", "f3cf70", "3f86d6", "tails", "centre", 1.0, "bows", "e2507c", 5),
    Design("lumi", "bdb2e4", "5a8fd0", "bob", "left", 1.0, "sun", "f2b632"),
    Design("lune", "bdb2e4", "5a8fd0", "bob", "right", 1.0, "moon", "4b6fb5"),
    Design("mikan", "e5824a", "3f9a94", "wavy", "wispy", 1.15, "beret", "7a2f3f", -4),
    Design(
        "sable", "4a3b40", "b03540", "ponytail", "centre", 1.05, "ears", "f0a8b8", 6, 0.94, "f6d0b4"
    ),
    Design("nerine", "f0a3b4", "b8508c", "wavy", "centre", 1.1, "flower", "fff4dc"),
    Design("oren", "c9a06a", "6a7fa8", "short", "left", 0.5, "glasses", "5a3a34", 2, 0.86),
    Design("pelia", "6fb9c4", "d08a3c", "tails", "straight", 1.2, "bows", "f5f0ea", -3),
    Design("thea", "b23a3a", "7d9a4a", "long", "left", 1.3, "flower", "f2c84b", 3),
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
    lids = [(1.0, 1.0)] * 26 + [(0.8, 0.8), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
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
        "-0.92,0.36 -0.74,-0.3 -0.58,-0.04 -0.36,-0.6 0.02,0.06 0.08,-0.22 "
        "0.38,0.02 0.6,-0.2 0.92,0.4"
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
    draw_arms(canvas, look)
    draw_torso(canvas, look)
    draw_neck(canvas, look)
    draw_collar(canvas, look)
    draw_face(head, look)
    draw_front_hair(head, look)
    draw_accessory(head, look)


def draw_back_hair(head: Canvas, look: Look) -> None:
    """The hair behind face and body, with its shadow under the head."""
    kind = look.design.back
    dark = shade(look.hair, 0.75)

    def hang(points: Path) -> list[tuple[float, ...]]:
        return [(p[0] + look.sway * max(p[1], 0) ** 1.5, *p[1:]) for p in path(points)]

    tails = {"tails": (1, -1), "ponytail": (1,)}.get(kind, ())
    for side in tails:
        view = head.at(0, 0, wide=side) if kind == "tails" else head.at(-0.35, -0.25, turn=-12)
        tail = hang(TAIL)
        view.shape(tail, look.hair)
        inner = "1.35,-0.5 1.75,0.4 1.62,1.4 1.62,2.7 1.2,2.2 1.3,0.6"
        view.shadow(inner, shade(look.hair), view.mask(tail))
        view.line("1.35,-0.8 1.82,0 1.88,1.2", glow(look.hair), 2.2)
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
    canvas.shadow(shadow, flush(look.skin), canvas.mask(neck))


TORSO = mirrored("0,1.42 0.34,1.44 0.78,1.6 0.98,1.86 0.86,2.4 0.72,2.9 0.7,3.2 0.82,3.75! 0,3.85")


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
        (x0, y0), (x1, y1) = path(joints)[1:]
        length = np.hypot(x1 - x0, y1 - y0)
        hand = (x1 + 0.12 * (x1 - x0) / length, y1 + 0.12 * (y1 - y0) / length)
        turn = float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))
        palm = view.at(*hand, turn=turn)
        palm.shape("-0.14,-0.13 0.1,-0.2 0.3,-0.12 0.33,0.06 0.2,0.17 -0.14,0.13", look.skin)
        palm.line("0.34,-0.03 0.16,-0.02", flush(look.skin, 1.5), 0.8)
        sleeve = band(joints, (0.2, 0.46, 0.48, 0.46, 0.42, 0.4, 0.42))
        view.shape(sleeve, look.cloth)
        inside = view.mask(sleeve)
        view.at(-0.13 * side * look.light, 0.05).shadow(
            band(joints, (0.3, 0.25, 0.2, 0.2)), shade(look.cloth, 0.8), inside, 0.85
        )
        view.fill(band([(x1, y1), hand], (0.5, 0.3)), look.trim, inside=inside)


def draw_legs(canvas: Canvas, look: Look) -> None:
    """Skirt or trousers, legs and shoes."""
    trousers = look.clothes in ("hoodie", "shirt") or look.design.back == "short"
    cloth = mix(look.cloth, INK, 0.45) if trousers else shade(look.cloth, 0.4)
    for side in (-1, 1):
        leg = canvas.at(0, 0, wide=side)
        limb = band("0.36,3.6 0.36,4.8 0.34,6", (0.62, 0.5, 0.36))
        leg.shape(limb, cloth if trousers else look.skin)
        dark = shade(cloth) if trousers else flush(look.skin)
        leg.shadow(box(0.0, 3.5, 0.3, 6), dark, leg.mask(limb))
        if not trousers:
            leg.shape(band("0.35,5.2 0.34,6.05", (0.46, 0.38)), look.trim)
        shoe = "0.12,5.95 0.5,5.95 0.66,6.25 0.6,6.42 0.14,6.42 0.08,6.2"
        leg.shape(shoe, mix(look.accent, INK, 0.5))
    if trousers:
        canvas.shape(mirrored("0,3.5 0.8,3.5 0.86,4 0,4.15"), cloth)
    else:
        hem = 4.75 if look.clothes != "yukata" else 5.7
        skirt = mirrored(f"0,3.5 0.78,3.5 1.22,{hem}! 0.6,{hem + 0.1} 0,{hem + 0.12}")
        canvas.shape(skirt, cloth)
        for x in (-0.55, -0.2, 0.2, 0.55):
            canvas.line([(x, 3.75), (x * 1.35, hem)], shade(cloth, 1.3))


def draw_face(head: Canvas, look: Look) -> None:
    """Ears, face, and everything in it."""
    lean = 0.1 * look.turn
    chin = 1.2 + 0.04 * (look.design.narrow < 0.9)
    half = (
        "0,-1.1 0.62,-0.9 0.94,-0.3 0.94,0.22 0.86,0.55 0.6,0.9 0.24,1.13 "
        f"0.08,{chin} 0,{chin + 0.01}"
    )
    outline = [(p[0] + lean * max(p[1] + 0.2, 0), *p[1:]) for p in mirrored(half)]
    for side in (-1, 1):
        ear = head.at(-0.12 * look.turn, 0, wide=side)
        ear.shape("0.88,0.02 1.02,-0.02 1.12,0.16 1.05,0.44 0.88,0.5", look.skin)
        ear.line("0.95,0.1 1.04,0.16 0.98,0.34", flush(look.skin, 1.3), 0.8)
    head.shape(outline, look.skin)
    inside = head.mask(outline)
    dusk = flush(look.skin, 0.72)
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
        eye = front.at(0.455 * side, 0.26, 0.29, wide=side * (1 - 0.14 * side * look.turn))
        draw_eye(eye, look, side)
        draw_brow(front.at(0.45 * side, -0.2, wide=side), look)


def draw_cheeks(front: Canvas, look: Look, inside: np.ndarray) -> None:
    """Blush, with three little strokes where it is strong."""
    red = mix(look.skin, (244, 96, 96), 0.75)
    for side in (-1, 1):
        cheek = front.at(0.58 * side, 0.68)
        if look.blush:
            cheek.fill(ellipse(0, 0, 0.19, 0.09), red, inside, look.blush, blur=0.06)
        if look.blush > 0.8:
            for x in (-0.09, 0, 0.09):
                cheek.line([(x + 0.03, -0.04), (x - 0.02, 0.05)], red, 1, inside)


def draw_nose(view: Canvas, look: Look) -> None:
    """A hint of a nose."""
    tip = view.at(0, 0, wide=-look.light)
    tip.fill("-0.03,-0.05 0.02,-0.02 0.05,0.05 0,0.06", flush(look.skin, 1.6))


def draw_mouth(view: Canvas, look: Look) -> None:
    """A mouth about half a unit wide, in the look's expression."""
    ink, inner = mix(flush(look.skin, 2.6), (120, 30, 40), 0.4), (178, 62, 72)
    if look.mouth in ("open", "grin"):
        low = 0.24 if look.mouth == "open" else 0.15
        lips = f"-0.2,-0.05! 0,-0.01 0.2,-0.05! 0.13,{low * 0.75} 0,{low} -0.13,{low * 0.75}"
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
        closed = [(-0.95, 0.25), (0, 0.25 + arc), (0.95, 0.25)]
        view.fill(band(closed, (0.08, 0.26, 0.3, 0.1)), lash)
        view.line([(0.85, 0.3), (1.12, 0.5 if arc < 0 else 0.2)], lash, 1.2)
        return
    view = view.at(0, 0.95 * (1 - look.design.narrow * openness))
    tall = look.design.narrow * openness

    def y(points: Path) -> list[tuple[float, ...]]:
        return [(p[0], p[1] * tall, *p[2:]) for p in path(points)]

    white = y("-0.92,0.12 -0.7,-0.7 0,-1 0.72,-0.78 0.98,-0.1 0.72,0.78 0,0.98 -0.66,0.8")
    view.fill(white, (253, 251, 252))
    inside = view.mask(white)
    view.fill(box(-1.2, -1.2, 1.2, -0.42 * tall), (206, 204, 226), inside=inside, opacity=0.85)
    gaze = 0.1 * look.turn * side
    iris = view.at(gaze, 0.02 * tall)
    deep, bright = shade(look.eyes, 2.2), mix(look.eyes, WHITE, 0.35)
    iris.fill(ellipse(0, 0, 0.72, 0.95 * tall), deep, inside=inside)
    iris.fill(ellipse(0, 0.03, 0.64, 0.87 * tall), (shade(look.eyes, 1.9), bright), inside=inside)
    iris.fill(ellipse(0, 0.02, 0.3, 0.46 * tall), mix(deep, INK, 0.5), inside=inside)
    iris.fill(ellipse(0, 0.52 * tall, 0.42, 0.26 * tall), mix(bright, WHITE, 0.25), inside, 0.75)
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
    view.line(y("-0.5,-1.18 0.1,-1.34 0.75,-1.12"), flush(look.skin, 1.8), 0.8)


def draw_brow(view: Canvas, look: Look) -> None:
    """An eyebrow half a unit wide, its outer end at positive x."""
    view = view.at(0, 0, turn=look.brows)
    width = 0.075 if look.design.narrow < 0.9 else 0.05
    arch = band("-0.24,0.02 0.05,-0.07 0.26,0.03", (width, width, width, 0.01))
    view.fill(arch, shade(look.hair, 1.4))


def draw_front_hair(head: Canvas, look: Look) -> None:
    """Side locks and fringe, their shadows, strands and the ring of light."""
    hair, dark, bright = look.hair, shade(look.hair), glow(look.hair)
    reach = look.design.locks
    for side in (-1, 1):
        view = head.at(0.06 * look.turn, 0, wide=side)
        drift = look.sway * side
        lock = (
            f"0.62,-0.7 1.12,-0.6 1.19,0 {1.12 + drift},{0.35 + reach * 0.5} "
            f"{0.9 + drift},{0.3 + reach}! 0.9,{0.1 + reach * 0.55} 0.84,0.1"
        )
        view.shape(lock, hair)
        inside = view.mask(lock)
        inner = f"0.7,-0.3 0.98,0 0.98,{0.4 + reach * 0.4} {0.9 + drift},{0.4 + reach} 0.6,0.5"
        view.shadow(inner, dark, inside)
        strand = f"1.04,-0.5 1.1,0.1 {1.03 + drift},{0.3 + reach * 0.6}"
        view.line(strand, shade(hair, 1.4), 0.9, inside)
    front = head.at(0.1 * look.turn, 0)
    tips = FRINGE[look.design.fringe]
    edge: list[tuple[float, ...]] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(tips):
        bulge = 0.1 * (y1 - y0) * np.sign(x0 + x1)
        edge += [(x0, y0, SHARP), ((x0 + x1) / 2 + bulge, (y0 + y1) / 2)]
    edge.append((*tips[-1], SHARP))
    crown = [(-1.17, -0.1), *((-x, y) for x, y in reversed(path(CROWN)[1:4])), *path(CROWN)]
    outline = [*crown, (1.08, 0.12), *reversed(edge), (-1.08, 0.12)]
    front.shape(outline, hair)
    inside = front.mask(outline)
    for (x0, y0), (x1, y1) in zip(tips[::2], [*tips[1::2], tips[-1]], strict=True):
        cleft = f"{x0 - 0.06},{y0 + 0.1} {x1 + 0.02},{y1 - 0.42}! {x1 + 0.08},{y1 + 0.1}"
        front.shadow(cleft, dark, inside)
    front.at(0, 0, wide=look.light).shadow(
        "-1.3,0.4 -1.3,-1.2 -0.98,-0.9 -0.92,-0.4 -0.82,0.4", dark, inside
    )
    if look.design.back != "short":
        lower = np.stack([np.linspace(0.92, -0.92, 15), np.zeros(15)], 1)
        lower[:, 1] = 0.36 * lower[:, 0] ** 2 - np.tile([0.73, 0.61], 8)[:15]
        ring = smooth("-0.98,-0.5 -0.5,-0.78 0.1,-0.84 0.6,-0.74 0.98,-0.46", closed=False)
        front.fill(np.vstack([ring, lower]), bright, inside, 0.75)
    else:
        for x, y in ((-0.6, -0.8), (-0.15, -0.95), (0.35, -0.92), (0.7, -0.7)):
            front.at(x, y).fill("0,0! 0.1,0.1 -0.02,0.42! -0.06,0.15", bright, inside, 0.75)
    part = {"left": -0.36, "right": 0.36}.get(look.design.fringe, 0.0)
    for x, y in tips[1::2]:
        start = part + 0.3 * (x - part)
        fall = [(start, -1.22), ((start + x) / 2 + 0.12 * x, -0.75), (x, y)]
        front.line(fall, shade(hair, 1.5), 0.9, inside)
    head.fill(band("-0.02,-1.32 0.12,-1.62 0.42,-1.58", (0.1, 0.07, 0.01)), shade(hair, 1.5))


def draw_bow(view: Canvas, colour: Colour, size: float, droop: float = 0) -> None:
    """A bow of two loops, `size` from knot to end, with hanging ends `droop` long."""
    view = view.at(0, 0, size)
    for side in (-1, 1):
        half = view.at(0, 0, wide=side)
        if droop:
            low = droop / size
            end = f"0,0.1 0.3,0.2 0.55,{low} 0.32,{low * 0.9}! 0.1,{low}"
            half.shape(end, shade(colour, 0.5))
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
            lens = rounded(0.47 * side - 0.41, -0.36, 0.47 * side + 0.41, 0.36, 0.3)
            front.fill(lens, WHITE, opacity=0.08)
            front.fill(band(np.vstack([lens, lens[:1]]), (0.045, 0.045)), colour)
            front.line([(0.8 * side, -0.05), (1.0 * side - 0.12 * look.turn, -0.12)], colour, 1.6)
        front.line("-0.06,-0.06 0,-0.09 0.06,-0.06", colour, 1.8)
    elif kind == "flower":
        bloom = head.at(-0.78 + 0.08 * look.turn, -0.62, 0.34, -20)
        for turn in range(0, 360, 72):
            bloom.at(0, 0, turn=turn).shape("0,0! 0.5,-0.6 0.2,-1 -0.2,-1 -0.5,-0.6", colour)
        bloom.shape(ellipse(0, 0, 0.3), (240, 176, 70))
    elif kind == "sun":
        pin = head.at(0.72 + 0.08 * look.turn, -0.42, turn=12)
        pin.shape(star(0, 0, 0.27, 8, 0.62), colour)
        pin.fill(ellipse(0, 0, 0.1), mix(colour, WHITE, 0.6))
    elif kind == "moon":
        pin = head.at(-0.72 + 0.08 * look.turn, -0.42, turn=-15)
        crescent = "0.1,-0.28! -0.14,-0.22 -0.24,0 -0.14,0.22 0.1,0.28! -0.03,0.12 -0.03,-0.12"
        pin.shape(crescent, mix(colour, WHITE, 0.1))
    elif kind == "beret":
        hat = (
            "-1.12,-0.72 -1.2,-1.2 -0.6,-1.72 0.3,-1.82 1.1,-1.5 1.3,-1 1.06,-0.74 "
            "0.5,-0.98 -0.3,-1.02"
        )
        head.shape(hat, colour)
        fold = "-1.3,-1.2 -0.9,-1.1 0,-1.25 1,-1.1 1.3,-0.6 0,-0.7 -1.3,-0.5"
        head.shadow(fold, shade(colour), head.mask(hat))
        head.shape(band("0.05,-1.78 0.1,-2", (0.1, 0.08)), colour)
    elif kind == "ears":
        for side in (-1, 1):
            ear = head.at(0, 0, wide=side)
            ear.shape("0.28,-1.28 0.5,-1.7 0.98,-2.02! 1.14,-1.4 1.08,-0.8 0.7,-1.1", look.hair)
            ear.fill("0.5,-1.28 0.66,-1.6 0.92,-1.82! 1,-1.4 0.98,-1.02", colour)
            ear.line("0.4,-1.2 0.62,-1.3 0.74,-1.08", shade(look.hair), 3)
