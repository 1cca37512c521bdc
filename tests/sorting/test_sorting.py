"""Piles of files: nothing is lost, overwritten or sorted twice, whatever happens."""

import csv
import errno
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from celflow.errors import UserError
from sorting import sorter as sorter_module
from sorting import transfer
from sorting.journal import MODES, Journal, Plan, journal_folder
from sorting.run import sort_files
from sorting.sorter import Sorter, folder_name
from sorting.undo import undo
from sorting.verdicts import LeftOut, Verdict
from sorting.walk import files_in

ROOT = Path(__file__).parents[2]


def ask(file: Path) -> Verdict | LeftOut:
    return LeftOut("no picture") if file.suffix == ".txt" else Verdict(file.name[0], 0.9, 1)


def fill(folder: Path, number: int = 12) -> dict[str, bytes]:
    """Files in two folders, one of a name that is no UTF-8; returns what is in them."""
    for n in range(number):
        file = folder / ("deep/er" if n % 3 else "") / f"{'ab'[n % 2]}{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(random.Random(n).randbytes(2000))
    (folder / os.fsdecode(b"a\xe9\n.png")).write_bytes(b"latin")
    (folder / "notes.txt").write_bytes(b"no picture")
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_in(folder)}


def sort(folder: Path, out: Path, mode: str = "move") -> sorter_module.Summary:
    with Sorter(Plan(folder, out, "toy", mode)) as sorter:  # type: ignore[arg-type]
        files = (file for file in files_in(folder, out) if not sorter.is_done(file))
        sort_files(sorter, files, ask)
        return sorter.finish()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inside", [False, True])
def test_sort_again_and_undo(tmp_path, mode, inside):
    folder = tmp_path / "in"
    before = fill(folder)
    out = folder / "sorted" if inside else tmp_path / "out"
    summary = sort(folder, out, mode)
    assert summary.piles == {"a": 7, "b": 6} and summary.left_out == {"notes.txt": "no picture"}
    placed = {str(p.relative_to(out / p.relative_to(out).parts[0])): p.read_bytes()
              for p in out.rglob("*") if p.is_file()}  # fmt: skip
    assert placed == {name: data for name, data in before.items() if name != "notes.txt"}
    left = contents(folder)
    assert left == ({"notes.txt": b"no picture"} if mode == "move" else before)
    assert (folder / "deep").exists() == (mode != "move")
    assert sort(folder, out, mode) == summary  # nothing is sorted twice
    assert len([path for path in out.rglob("*") if path.is_file()]) == 13
    assert undo(out) == (13, {})
    assert contents(folder) == before and not out.exists() and not journal_folder(out).exists()


def test_reports_are_whole(tmp_path):
    fill(tmp_path / "in")
    sort(tmp_path / "in", tmp_path / "out")
    report = json.loads((tmp_path / "out.journal/report.json").read_text("utf-8"))
    rows = list(csv.DictReader((tmp_path / "out.journal/report.csv").open(newline="")))
    assert [row["file"] for row in rows] == [one["file"] for one in report["files"]]
    assert "a\\xe9\n.png" in [row["file"] for row in rows] and len(rows) == 14
    assert report["piles"] == {"a": 7, "b": 6} and rows[-1]["reason"] == "no picture"


@pytest.mark.parametrize("mode", MODES)
def test_no_file_is_overwritten(tmp_path, mode):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"new")
    (out / "a").mkdir(parents=True)
    (out / "a/a.png").write_bytes(b"old")
    sort(folder, out, mode)
    assert (out / "a/a.png").read_bytes() == b"old"
    assert (out / "a/a (2).png").read_bytes() == b"new"
    undo(out)
    assert (out / "a/a.png").read_bytes() == b"old" and (folder / "a.png").read_bytes() == b"new"


def test_a_place_that_is_taken_meanwhile(tmp_path, monkeypatch):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"new")
    intend = Journal.intend

    def late(self, changes):
        intend(self, changes)
        (out / "a").mkdir(parents=True, exist_ok=True)
        (out / "a/a.png").write_bytes(b"old")

    monkeypatch.setattr(Journal, "intend", late)
    assert sort(folder, out).piles == {"a": 1}
    assert (out / "a/a.png").read_bytes() == b"old"
    assert (out / "a/a (2).png").read_bytes() == b"new"


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tmp_path, monkeypatch, mode):
    folder, out = tmp_path / "in", tmp_path / "out"
    before = fill(folder)
    room = [5]
    copyfile = shutil.copyfile

    def full(source, target):
        if room[0] == 0:
            Path(target).write_bytes(b"ha")
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        return copyfile(source, target)

    def elsewhere(source, target):
        if "part" not in source.name:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(source, target)

    rename = transfer._rename
    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr(transfer, "_rename", elsewhere)
    with pytest.raises(UserError, match="No space left on device; every file is whole"):
        sort(folder, out, mode)
    everywhere = [*contents(folder).values()]
    piled = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert len(piled) == 5 and set(piled) <= set(before.values())
    assert set(everywhere) | set(piled) == set(before.values())
    room[0] = 99
    assert sort(folder, out, mode).piles == {"a": 7, "b": 6}
    undo(out)
    assert contents(folder) == before


def test_piles_that_cannot_be_written(tmp_path):
    folder = tmp_path / "in"
    before = fill(folder)
    out = tmp_path / "out"
    out.mkdir()
    for pile in "ab":  # a file in the way of a folder: root may write anywhere
        (out / pile).write_text("")
    with pytest.raises(UserError, match="can't be written"):
        sort(folder, out)
    assert contents(folder) == before


@pytest.mark.parametrize("other", [{"mode": "copy"}, {"model": "other"}, {"folder": Path("/tmp")}])
def test_another_sort_into_the_same_folder_is_refused(tmp_path, other):
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder)
    sort(folder, out)
    plan = {"folder": folder, "out": out, "model": "toy", "mode": "move"} | other
    with pytest.raises(UserError, match="earlier sort"):
        Sorter(Plan(**plan))


def test_two_at_a_time_are_refused(tmp_path):
    plan = Plan(tmp_path, tmp_path / "out", "toy", "copy")
    with Sorter(plan), pytest.raises(UserError, match="another celflow"):
        Sorter(plan)
    Sorter(plan).__exit__(None, None, None)


def test_what_was_changed_since_stays(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder)
    sort(folder, out, "copy")
    (out / "a/a0.png").write_bytes(b"edited")
    assert undo(out) == (12, {"a/a0.png": "was changed since"})
    assert (out / "a/a0.png").read_bytes() == b"edited"
    with pytest.raises(UserError, match="nothing to undo"):
        undo(tmp_path / "in")


def test_a_torn_line_is_no_harm(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    before = fill(folder)
    sort(folder, out)
    journal = journal_folder(out) / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"event": "place", "numb')
    sort(folder, out)
    undo(out)
    assert contents(folder) == before


def test_names_of_piles():
    assert [folder_name(name) for name in ("aki", "a/b", "..", "")] == ["aki", "a_b", "_", "_"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["copy", "move"])
def test_twenty_kills_lose_nothing(tmp_path, mode):
    """Killed at random, every file is whole somewhere, and no other has its name half written."""
    folder, out = tmp_path / "in", tmp_path / "out"
    before = fill(folder, 300)
    dice = random.Random(mode)
    command = [sys.executable, "-m", "tests.sorting.half_way", str(folder), str(out), mode]
    kills = 0
    for _ in range(20):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.uniform(0, 0.15))
        process.kill()
        kills += process.wait() == -9
        process.stdout.close()
        piled = [p for p in out.rglob("*") if p.is_file() and not p.name.endswith(".part")]
        placed = {str(p.relative_to(out / p.relative_to(out).parts[0])): p.read_bytes()
                  for p in piled}  # fmt: skip
        left = contents(folder)
        assert {**left, **placed} == before
        if mode == "move":  # in one place
            assert not set(left) & set(placed)
    assert kills >= 5
    done = subprocess.run(command, cwd=ROOT, check=False)
    assert done.returncode == 0
    assert sum(path.is_file() for path in out.rglob("*")) == len(before)
    assert undo(out) == (len(before), {})
    assert contents(folder) == before
