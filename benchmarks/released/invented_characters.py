"""Characters that the sample's painter can draw besides its cast."""

import colorsys
from unittest import mock

import cv2
import numpy as np

from stages.sample import cast, drawings
from stages.sample.canvas import SUPERSAMPLING

PACKED = 144  # px, of a face
FACES_OF_EACH = 8
ACCESSORIES = ("ribbon", "headphones", "glasses", "bows", "sun", "moon", "beret", "ears", "flower")


def invented(number: int) -> list[np.ndarray]:
    """Faces of an invented character. Three in a row are alike but for what their hues tell."""
    rng, family = np.random.default_rng([77, number]), np.random.default_rng([5, number // 3])
    hue = family.uniform()
    hue += (0, 0.07, 0.16)[number % 3] if family.uniform() < 0.6 else rng.uniform()
    colours = family if family.uniform() < 0.5 else rng
    shapes = rng if family.uniform() < 0.4 else family

    def code(hue: float, saturation: tuple[float, float], value: tuple[float, float]) -> str:
        rgb = colorsys.hsv_to_rgb(hue % 1, colours.uniform(*saturation), colours.uniform(*value))
        return "".join(f"{round(255 * one):02x}" for one in rgb)

    design = cast.Design(
        name=f"drawn{number}",
        hair=code(hue, (0.1, 0.8), (0.3, 0.98)),
        eyes=code(colours.uniform(), (0.4, 0.8), (0.5, 0.85)),
        accent=code(colours.uniform(), (0.1, 0.8), (0.3, 0.95)),
        back=str(shapes.choice(list(cast.BACK_HAIR))),
        fringe=str(shapes.choice(list(cast.FRINGE))),
        locks=float(shapes.choice([0.45, 0.85, 1.05, 1.25])),
        accessory=str(shapes.choice(ACCESSORIES)),
        slant=float(colours.uniform(-5, 6)),
        narrow=float(colours.choice([1, 1, 0.86])),
        skin=str(colours.choice(["ffe4d4", "ffe4d4", "f6d0b4", "d9a883"])),
    )
    corners: list[np.ndarray] = []
    draw_face = cast.draw_face

    def where(head, look) -> None:
        if look.design is design:
            corners[:] = [head._place([(-1.2, -1.35), (1.2, -1.35), (1.2, 1.15), (-1.2, 1.15)])]
        draw_face(head, look)

    found = []
    with mock.patch.object(cast, "draw_face", where):
        for _ in range(FACES_OF_EACH):
            picture = drawings.draw_illustration(design, 190, 230, rng)
            box = corners[0] / SUPERSAMPLING
            (left, top), (right, bottom) = np.maximum(box.min(0), 0), box.max(0)
            face = picture[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            found.append(cv2.resize(face, (PACKED, PACKED), interpolation=cv2.INTER_AREA))
    return found
