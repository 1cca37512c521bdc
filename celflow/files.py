"""Write whole or not at all: beside first, then rename."""

import itertools
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psutil

_HOST = platform.node().replace(".", "_")
_numbers = itertools.count()


@contextmanager
def atomic_dir(folder: Path) -> Iterator[Path]:
    """A new empty folder beside `folder` that takes its place when the block ends without error.

    Whenever it is killed, `folder` is the old one, the new one or, for a moment, not there. Of a
    link, what it leads to is replaced.
    """
    if folder.is_symlink():
        folder = folder.resolve()
    beside, old = (folder.with_name(f".{folder.name}.{age}") for age in ("new", "old"))
    for left in (beside, old):
        shutil.rmtree(left, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    if folder.exists():  # removed at once it could be killed half removed
        folder.rename(old)
    beside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path.parent.resolve())
    # Not its own name: that may be as long as a name can be.
    beside = path.with_name(f".{_HOST}.{os.getpid()}.{next(_numbers)}.new")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON that people can read, in a stable order."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


@cache
def _tidy(folder: Path) -> None:
    """Remove what killed processes of this machine left in a folder; once a process."""
    for left in folder.glob(f".{_HOST}.*.*.new"):
        process = left.name.split(".")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            left.unlink(missing_ok=True)
