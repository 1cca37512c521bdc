"""Raw files that are removed, replaced and emptied while the data stages read them."""

import json
import os
import random
import threading
from pathlib import Path

import pytest

from stages import clean, raw

from ..stages.conftest import flat_drawing, project

__all__ = ["project"]

DRAWINGS, FACES = 120, 30


def change(files: list[Path], stop: threading.Event) -> None:
    """Remove, replace or empty one file after another; some are a folder for a moment."""
    chance = random.Random(0)
    for file in files:
        if stop.is_set():
            return
        match chance.randrange(4):
            case 0:
                file.unlink()
            case 1:
                file.write_bytes(chance.randbytes(50))
            case 2:
                file.write_bytes(b"")
            case 3:
                file.unlink()
                file.mkdir()
                stop.wait(0.001)
                file.rmdir()
        stop.wait(0.001)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_every_file_has_an_answer_while_files_change(project, backend):
    for i in range(DRAWINGS):
        project.put(f"cartoon_or_photo/cartoon/x{i}.png", flat_drawing(900 + i))
    for i in range(FACES):
        project.put(f"characters/aki/x{i}.png", flat_drawing(i))
    params = project.configure({"data": {"backend": backend}})
    files = sorted(project.raw.rglob("x*.png"))
    random.Random(1).shuffle(files)
    stop = threading.Event()
    changing = threading.Thread(target=change, args=(files, stop))
    changing.start()
    raw.run(params)
    clean.run(params)
    stop.set()
    changing.join()
    report = json.loads(Path("reports/clean.json").read_text())
    for dataset, found in report.items():
        put_aside = sum(found["quarantined"].values())
        assert found["seen"] == put_aside + sum(found["passed"].values())
        written = [path for path in Path("data/clean", dataset).rglob("*") if path.is_file()]
        assert len(written) == sum(found["passed"].values())
        assert set(found["quarantined"]) <= {"unreadable", "empty", "not_an_image", "truncated"}


def test_a_file_that_can_not_be_read_is_put_aside_and_named(project, monkeypatch):
    (project.raw / "characters/aki/gone.png").symlink_to("nowhere.png")
    locked = project.raw / "characters/aki/locked.png"
    locked.write_bytes(b"x")
    read = Path.read_bytes

    def refusing(path: Path) -> bytes:  # root, as whom CI runs, may read all
        if path.name == locked.name:
            raise PermissionError(13, os.strerror(13), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    params = project.configure({})
    raw.run(params)
    clean.run(params)
    aside = json.loads(Path("reports/clean.json").read_text())["characters"]["quarantine"]
    assert {one["file"]: (one["reason"], one["why"]) for one in aside} == {
        "aki/gone.png": ("unreadable", "No such file or directory"),
        "aki/locked.png": ("unreadable", "Permission denied"),
    }
    listed = Path("data/raw.csv").read_text()
    assert "aki/locked.png,\n" in listed and "gone.png" not in listed
