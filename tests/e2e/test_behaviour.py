"""How trained models behave, after Made-With-ML: invariance, direction, minimum function.

The models are those of the small sample, asked as they are served: a file in, scores out. What is
asked for is what such models can do; the README has the figures of real ones.
"""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from celflow.pyfunc import SavedModelFunc
from stages.models import FAMILIES

from .conftest import ROOT

pytestmark = pytest.mark.slow
TASKS = {
    name: line["task"]
    for name, line in yaml.safe_load((ROOT / "params.yaml").read_text())["models"].items()
}
PHOTO_MODELS = [name for name in FAMILIES if TASKS[name] == "cartoon_or_photo"]
Picture = Image.Image


def jpeg(picture: Picture) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "jpeg": jpeg,
    "mirror": ImageOps.mirror,
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.9),
    "smaller": lambda picture: ImageOps.scale(picture, 0.9),
}
KEPT = 0.8  # share of pictures whose answer must stay ...
KEPT_BY_RULES = {}  # ... but for the hand-made rules, which count pixels


@cache
def load(folder: Path) -> SavedModelFunc:
    return SavedModelFunc(folder)


@pytest.fixture
def ask(trained) -> Callable[[str, list[Picture]], pd.DataFrame]:
    """Scores of pictures by a model, a column a class: ask("xception", pictures)."""

    def ask(model: str, pictures: list[Picture]) -> pd.DataFrame:
        files = []
        for picture in pictures:
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            files.append(buffer.getvalue())
        loaded = load(trained.folder / "exports" / model / "saved_model")
        batches = [files[i : i + 8] for i in range(0, len(files), 8)]
        return pd.concat([loaded.predict(pd.DataFrame({"image_bytes": b})) for b in batches])

    return ask


@pytest.fixture
def pictures(trained) -> Callable[..., list[Picture]]:
    """Every other picture of a task, or those of one label: pictures("characters", "amari")."""

    def pictures(task: str, label: str | None = None) -> list[Picture]:
        table = pd.read_csv(trained.folder / f"data/split/{task}.csv")
        if label:
            table = table[table["label"] == label]
        return [Image.open(trained.folder / path).convert("RGB") for path in table["path"][::2]]

    return pictures


def painted(picture: Picture) -> Picture:
    """Grain off, few colours left."""
    return ImageOps.posterize(picture.filter(ImageFilter.MedianFilter(5)), 3)


def grainy(picture: Picture, strength: float = 25.0) -> Picture:
    noise = np.random.default_rng(0).normal(0, strength, (picture.height, picture.width, 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def flat_drawing(seed: int) -> Picture:
    """Plain shapes with black outlines on a plain ground."""
    rng = np.random.default_rng(seed)
    colours = [tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(7)]
    picture = Image.new("RGB", (480, 480), colours[0])
    draw = ImageDraw.Draw(picture)
    for colour in colours[1:]:
        x, y, w, h = (int(v) for v in rng.integers(40, 240, 4))
        draw.ellipse((x, y, x + w, y + h), fill=colour, outline="black", width=4)
    return picture


def grainy_photo(seed: int) -> Picture:
    """Soft light and shadow with the grain of a sensor."""
    rng = np.random.default_rng(seed)
    light = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return grainy(light.resize((480, 480), Image.Resampling.BICUBIC), 12.0)
