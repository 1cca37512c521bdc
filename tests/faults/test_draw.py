"""`celflow draw` killed at random moments, on a full disk, and without its server; then again."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..dashboard.fake_model_server import FakeServer
from ..stages.conftest import encoded, grainy_photo
from . import command_process

PICTURES = 25
ROUNDS = 20 if os.environ.get("CELFLOW_FAULTS") else 2

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = drawing_server()
    yield fake
    fake.stop()


def drawing_server(port: int = 0) -> FakeServer:
    fake = FakeServer(port)
    fake.models["cartoonizer"] = ((), {1: []})  # draws the picture itself
    fake.labels["cartoonizer"] = {"stable": 1}
    return fake


class Drawing:
    """A folder of pictures, and the command that draws them."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.folder = folder
        self.address = server.address
        for number in range(PICTURES):
            place = folder / "pictures" / f"{number % 3}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"ねこ {number}.png").write_bytes(encoded(grainy_photo(number), "PNG"))

    def run(self, kill_at: int | None = None, most: int | None = None) -> int | None:
        """The exit code. kill_at: drawings that are there when it is killed."""
        words = ["draw", "cartoonizer", "pictures", "--server", self.address]
        process = command_process.start(self.folder, words, most)
        end = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < end:
            if kill_at is not None and len(self.files()) >= kill_at:
                break
            process.join(0.001)
        process.kill()
        process.join()
        return process.exitcode

    def files(self) -> dict[str, bytes]:
        out = self.folder / "drawn"
        return {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file() and path.name != ".celflow-drawn.jsonl"
        }

    @property
    def log(self) -> str:
        return (self.folder / command_process.LOG).read_text()


@pytest.fixture
def drawing(tmp_path, server) -> Drawing:
    return Drawing(tmp_path, server)


def test_killed_at_random_moments(drawing):
    assert drawing.run() == 0, drawing.log
    whole = drawing.files()
    assert len(whole) == PICTURES
    chance = random.Random(0)
    killed = 0
    for _ in range(ROUNDS):
        for name in whole:
            (drawing.folder / "drawn" / name).unlink()
        killed += drawing.run(kill_at=chance.randrange(PICTURES - 5)) == -9
        there = {name: data for name, data in drawing.files().items() if name in whole}
        assert there.items() <= whole.items(), "a drawing is half written"
        assert drawing.run() == 0, drawing.log
        assert drawing.files() == whole
    assert killed > ROUNDS / 2


def test_on_a_full_disk(drawing):
    assert drawing.run(most=300) == 1
    assert "Traceback" not in drawing.log and "can't be written: File too large" in drawing.log
    assert not drawing.files(), "nothing of a drawing stays"
    assert drawing.run() == 0, drawing.log
    assert len(drawing.files()) == PICTURES


def test_without_its_server_and_with_it_again(drawing, server):
    server.stop()
    assert drawing.run() == 1
    assert "no model server answers" in drawing.log and "Traceback" not in drawing.log
    again = drawing_server(server.port)
    assert drawing.run() == 0, drawing.log
    again.stop()
    assert len(drawing.files()) == PICTURES
