"""A small project in a folder of its own, with two classes of pictures and two characters."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from celflow.manifest import Examples
from celflow.params import Params, load
from stages.models.common import table
from stages.models.common.model import Model

ROOT = Path(__file__).parents[2]
CHANGES = {
    "data": {"cartoon_or_photo": "raw/cartoon_or_photo", "characters": "raw/characters",
             "backend": "threading"},
    "facecrop": {"detector": "none"},
    "train": {
        "colours": {"side": 128},
        "gradient": {"side": 128},
        "xception": {"image_size": 32, "width": 0.1, "epochs": 3},
        "character_cnn": {"image_size": 32, "epochs": 3},
    },
}  # fmt: skip


def flat_drawing(seed: int, hue: int = 0) -> Image.Image:
    """A few flat shapes on a flat ground."""
    rng = np.random.default_rng([seed, hue])
    picture = Image.new("RGB", (96, 80), (40 + 90 * hue, 200 - 80 * hue, 220))
    draw = ImageDraw.Draw(picture)
    for _ in range(5):
        x, y, w, h = (int(v) for v in rng.integers(5, 60, 4))
        draw.ellipse((x, y, x + w, y + h), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return picture


def grainy_photo(seed: int) -> Image.Image:
    """A gradient with grain."""
    rng = np.random.default_rng(seed)
    slope = rng.uniform(-1, 1, (2, 3)) * 2
    y, x = np.mgrid[:80, :96]
    pixels = (
        128 + x[..., None] * slope[0] + y[..., None] * slope[1] + rng.normal(0, 25, (80, 96, 3))
    )
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def merge(content: dict, changes: dict) -> None:
    """Lay `changes` over `content`, level by level."""
    for key, value in changes.items():
        if isinstance(value, dict) and key in content:
            merge(content[key], value)
        else:
            content[key] = value


def make_model(name: str, **config: object) -> Model[Any]:
    """The model `name` of the project's own params.yaml, with some settings changed."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["data"]["backend"] = "threading"
    content["train"][name] |= config
    return table.create(name, Params.model_validate(content))


class Project:
    """The folder that the test runs in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw = folder / "raw"

    def configure(self, changes: dict) -> Params:
        """Change params.yaml and read it."""
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        merge(content, changes)
        path.write_text(yaml.safe_dump(content))
        return load(path)

    def put(self, name: str, content: Image.Image | bytes) -> Path:
        """Write a raw file; pictures are encoded by the name's ending."""
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, quality=95)
        return path


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture's file content."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def make_project(folder: Path) -> Project:
    """A project with 14 drawings, 14 photos and two characters of 12 faces."""
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    shutil.copytree(ROOT / "celflow", folder / "celflow")  # goes into the registry as code
    made = Project(folder)
    made.configure(CHANGES)
    for i in range(14):
        made.put(f"cartoon_or_photo/cartoon/d{i}.png", flat_drawing(i))
        made.put(f"cartoon_or_photo/photo/p{i}.jpg", grainy_photo(i))
    for i in range(12):
        made.put(f"characters/aki/a{i}.png", flat_drawing(100 + i, hue=0))
        made.put(f"characters/beni/b{i}.png", flat_drawing(200 + i, hue=1))
    return made


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """The project of `make_project`, and the folder that the test runs in."""
    made = make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return made


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examples:
    """Three reddish squares of noise and three greenish ones, in the working directory."""
    monkeypatch.chdir(tmp_path)
    paths = []
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 128, (80, 80, 3), dtype=np.uint8)
        pixels[..., i % 2] += 127
        paths.append(f"{i}.png")
        Image.fromarray(pixels).save(paths[-1])
    return Examples(paths, np.arange(6) % 2, ["a", "b"])
