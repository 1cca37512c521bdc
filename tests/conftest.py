"""What the tests of all rooms share."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Two cores that are busy with TensorFlow say nothing about how long an example should take.
settings.register_profile("celflow", deadline=None)
settings.load_profile("celflow")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Encode uint8 pixels as a file's bytes: encode(pixels, "JPEG", quality=80)."""

    def encode(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Random pixels: noise(height, width, seed)."""

    def noise(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return noise


@pytest.fixture
def real_data() -> Path:
    """The folder of real pictures; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("CELFLOW_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CELFLOW_REAL_DATA names no folder of real pictures")
    return Path(folder)
