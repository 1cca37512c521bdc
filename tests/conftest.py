"""What all tests share."""

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image, ImageCms
from xdist.scheduler import LoadFileScheduling

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A shell's job in the background is born with Ctrl-C ignored, and so is all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    # A core of its own for each worker and what it starts: TensorFlow takes every core it sees, and
    # two of them on the same cores keep each other waiting.
    cores = sorted(os.sched_getaffinity(0))
    worker = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    workers = min(int(os.environ["PYTEST_XDIST_WORKER_COUNT"]), len(cores))
    os.sched_setaffinity(0, cores[worker % workers :: workers])
# So it is with one core; with more, sums of more threads would be others.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# Two cores that are busy with TensorFlow say nothing about how long an example should take.
settings.register_profile("celflow", deadline=None)
settings.load_profile("celflow")

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


class FilesTogether(LoadFileScheduling):
    """Keeps in one worker what shares a fixture: a file, and e2e, which shares a running stack.

    xdist's own groups have no effect under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if "/e2e/" in nodeid else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """Whom xdist asks which worker gets which test."""
    return FilesTogether(config, log)


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
def swapped_profile() -> bytes:
    """sRGB's colour profile with the colorants of red and green exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


@pytest.fixture
def real_data() -> Path:
    """The folder of real pictures; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("CELFLOW_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CELFLOW_REAL_DATA names no folder of real pictures")
    return Path(folder)
