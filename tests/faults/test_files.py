"""Kills and full disks while files are written; odd names and links."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from celflow import errors, lineage, manifest
from celflow.errors import UserError
from celflow.files import atomic_dir, write_bytes
from celflow.names import flat_names

EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")


def replaced(folder: str, kill_at: int) -> None:
    """Replace a folder and a file in it; kill -9 before the change of this number."""
    os.chdir(folder)
    left = kill_at

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        writes = event in EVENTS and (event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if writes:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(count)
    with atomic_dir(Path("out")) as beside:
        for name in "abc":
            write_bytes(beside / name, b"new")
    write_bytes(Path("report"), b"new")
    os._exit(0)


def content() -> dict[str, bytes]:
    files = (path for path in Path().rglob("*") if path.is_file())
    return {path.as_posix(): path.read_bytes() for path in files}


def test_killed_before_each_change_and_run_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context = multiprocessing.get_context("fork")
    old, new = ({f"out/{n}": word for n in "abc"} for word in (b"old", b"new"))
    kills = 0
    while True:
        for name, word in {**old, "report": b"old"}.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(word)
        codes = []
        for kill_at in (kills, 10_000):
            process = context.Process(target=replaced, args=(str(tmp_path), kill_at))
            process.start()
            process.join(60)
            codes.append(process.exitcode)
            seen = {name: word for name, word in content().items() if name[:4] == "out/"}
            assert seen in (old, new, {}), f"half a folder after kill {kills}"
        assert codes[1] == 0
        assert content() == {**new, "report": b"new"}, f"something is left of kill {kills}"
        if codes[0] == 0:
            break
        kills += 1
    assert kills >= 10


def test_a_full_disk_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            write_bytes(path, b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["file"] and path.read_bytes() == b"old"


def test_a_folder_that_is_a_link_is_replaced_where_it_lies(tmp_path):
    there = tmp_path / "disk" / "out"
    there.mkdir(parents=True)
    (tmp_path / "out").symlink_to(there)
    with atomic_dir(tmp_path / "out") as beside:
        (beside / "new").touch()
    assert (tmp_path / "out").is_symlink() and (there / "new").exists()
    assert [one.name for one in there.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "error: no space left on device; "),
        (RuntimeError("exports/m.tmp; File too large"), "error: file too large; "),
        (PermissionError(errno.EACCES, "Permission denied", "a\nb"), "error: a\\nb: permission"),
    ],
)
def test_what_the_system_says_is_one_line(capsys, error, line):
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit):
        errors.run(fail)
    said = capsys.readouterr().err
    assert said.startswith(line) and said.count("\n") == 1


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert lineage.git_commit() == "none"


def test_a_detached_head_and_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert lineage.git_commit() == "none"
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (
        ("init", "-q"),
        (*who, "commit", "-qm", "a", "--allow-empty"),
        ("checkout", "-q", "--detach"),
    ):
        subprocess.run(["git", *words], check=True)
    assert len(lineage.git_commit().removesuffix("-dirty")) == 40


def test_names_stay_apart_and_are_text(tmp_path):
    names = ["a_b.png", "a/b.png", "a" * 250 + ".png", "d/" * 100 + "e.png", "\udcff\n'$(x),.png"]
    flat = flat_names([tmp_path / name for name in names], tmp_path)
    assert len(set(flat)) == len(names) and flat[0] == "a_b.png"
    for name in flat:
        assert "/" not in name and len(name.encode()) <= 251
    assert flat == flat_names([tmp_path / name for name in names], tmp_path)


@pytest.mark.parametrize("name", ["lone\udcffbyte", "two\nlines"])
def test_a_class_whose_name_is_no_text_is_named(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="can't name a class"):
        manifest.images_in(tmp_path)


def test_links_in_a_circle_and_to_nowhere(tmp_path):
    (tmp_path / "aki").mkdir()
    (tmp_path / "aki/a.png").touch()
    (tmp_path / "far").mkdir()
    gone = tmp_path / "aki/gone.png"
    gone.symlink_to("nowhere")
    os.mkfifo(tmp_path / "aki/pipe")  # reading it would never end
    (tmp_path / "far/f.png").touch()
    assert manifest.images_in(tmp_path)["aki"] == [tmp_path / "aki/a.png", gone]
    (tmp_path / "aki/more").symlink_to(tmp_path / "far")
    with pytest.raises(UserError, match="link to a folder, which is not followed"):
        manifest.images_in(tmp_path)
    (tmp_path / "aki/more").unlink()
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(UserError, match="a folder that it lies in"):
        manifest.images_in(tmp_path)


def test_a_class_may_be_called_na(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "path,label,split,group,sha256\r\na.png,NA,train,0,x\r\nb.png,null,train,1,y\r\n"
    write_bytes(manifest.manifest_path("characters"), text.encode())
    train = manifest.read("characters")["train"]
    assert train.labels == ["NA", "null"] and train.truth.tolist() == [0, 1]


def test_pictures_of_one_flat_name_are_both_passed_on(tmp_path):
    from celflow.parallel import THREADS
    from celflow.params import CleanConfig
    from stages.clean import clean_dataset

    for number, name in enumerate(["a_b.png", "a/b.png", "lone\udcff.png", "n" * 251 + ".png"]):
        path = tmp_path / "raw/aki" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number, 0, 0)).save(path)
    config = CleanConfig(policy="repair", min_side=8, max_side=64)
    clean = tmp_path / "clean"
    report = clean_dataset(tmp_path / "raw", clean, tmp_path / "bad", config, THREADS)
    assert report["passed"] == {"aki": 4} and len(list((clean / "aki").iterdir())) == 4
