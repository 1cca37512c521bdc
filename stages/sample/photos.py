"""Photographs for the sample: parts of those that installed packages ship."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from celflow import errors

Box = tuple[int, int, int, int]  # left, top, width, height

# Of each: the package, the file, and how many turns it takes while the others take one. The grey
# ones are there because a grey picture may be of either class.
SOURCES = {
    "astronaut": ("skimage", "data/astronaut.png", 3),
    "china": ("sklearn", "datasets/images/china.jpg", 3),
    "coffee": ("skimage", "data/coffee.png", 3),
    "flower": ("sklearn", "datasets/images/flower.jpg", 3),
    "motorcycle": ("skimage", "data/motorcycle_left.png", 3),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", 3),
    "chelsea": ("skimage", "data/chelsea.png", 3),
    "rocket": ("skimage", "data/rocket.jpg", 3),
    "ihc": ("skimage", "data/ihc.png", 3),
    "hubble": ("skimage", "data/hubble_deep_field.jpg", 2),
    "retina": ("skimage", "data/retina.jpg", 2),
    "camera": ("skimage", "data/camera.png", 1),
    "coins": ("skimage", "data/coins.png", 1),
    "grass": ("skimage", "data/grass.png", 1),
    "brick": ("skimage", "data/brick.png", 1),
    "gravel": ("skimage", "data/gravel.png", 1),
    "moon": ("skimage", "data/moon.png", 1),
}


def photo(source: str, crop: Box, rng: np.random.Generator) -> np.ndarray:
    """A part of a photograph, now and then mirrored, at its own exposure, as uint8 [H, W, 3]."""
    left, top, width, height = crop
    part = read_source(source)[top : top + height, left : left + width]
    scale = rng.integers(256, 481) / max(width, height)
    size = (round(width * scale), round(height * scale))
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if rng.uniform() < 0.5:
        part = part[:, ::-1]
    exposed = 255 * (part / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.9, 1.08)
    return np.clip(exposed + 0.5, 0, 255).astype(np.uint8)


def read_source(source: str) -> np.ndarray:
    """A photograph as uint8 [H, W, 3], read from the package without importing it."""
    package, inner, _ = SOURCES[source]
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0] if folders else package) / inner
    if not path.is_file():
        raise errors.UserError(
            f"{package} ships no {inner}: install the version in requirements.lock"
        )
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def spread_crops(pixels: np.ndarray, count: int, rng: np.random.Generator) -> list[Box]:
    """`count` parts of a picture: of 40 random ones the least like those before it, and not empty.

    `pixels` is uint8 [H, W, 3].
    """
    height, width = pixels.shape[:2]
    coarse = cv2.resize(pixels, (width // 8, height // 8), interpolation=cv2.INTER_AREA)

    def dullness(crop: Box) -> float:
        left, top, wide, high = (n // 8 for n in crop)
        part = coarse[top : top + high, left : left + wide]
        return 1 - min(float(part.std(axis=(0, 1)).mean()) / 30, 1)

    crops: list[Box] = []
    for _ in range(count):
        choices = []
        for _ in range(40):
            ratio = rng.choice([0.67, 0.75, 0.8, 1.0, 1.25, 1.33, 1.5])
            long = min(rng.uniform(0.4, 1.0) * min(width, height), 620)
            w, h = round(long * min(1, ratio)), round(long * min(1, 1 / ratio))
            left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
            choices.append((int(left), int(top), w, h))
        scores = [max((overlap(c, d) for d in crops), default=0) + dullness(c) for c in choices]
        crops.append(choices[int(np.argmin(scores))])
    return crops


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0 to 1."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(wide, 0) * max(high, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)
