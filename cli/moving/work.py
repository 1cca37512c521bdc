"""Finished pieces of a moving picture, kept beside the drawing until that is whole."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from celflow.errors import UserError
from celflow.files import write_bytes
from celflow.images import encode_png, read_image
from celflow.names import shown
from cli.moving.frames import Frame, Moving

KEY, NEXT = "of.txt", "next"


class Work:
    """The folder `.NAME.drawing` beside the file NAME that is being drawn.

    A piece is there whole or not at all, with its last drawing, which the next is made steady by.

    Args:
        target: the file.
        key: what the pieces are drawn from, and how; those of another key are thrown away.
    """

    def __init__(self, target: Path, key: str) -> None:
        self.folder = target.with_name(f".{target.name}.drawing")
        noted = self.folder / KEY
        if not noted.is_file() or noted.read_text(encoding="utf-8") != key:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_bytes(noted, key.encode())

    def pieces(self) -> list[Path]:
        """Those that are finished."""
        found: list[Path] = []
        while (piece := self._piece(len(found))).exists():
            found.append(piece)
        return found

    def last(self) -> np.ndarray:
        """The last drawing of the last piece, uint8 [H, W, 3]."""
        return read_image(self._last(len(self.pieces()) - 1)).pixels

    def add(self, moving: Moving, frames: Iterator[Frame]) -> None:
        """Write the next piece."""
        number, last = len(self.pieces()), np.empty(0)

        def passed() -> Iterator[Frame]:
            nonlocal last
            for frame in frames:
                last = frame.pixels
                yield frame

        moving.write_piece(self.folder / NEXT, passed())
        write_bytes(self._last(number), encode_png(last))
        (self.folder / NEXT).replace(self._piece(number))
        if number:
            self._last(number - 1).unlink(missing_ok=True)

    def join(self, moving: Moving) -> Path:
        """The whole, still in the folder."""
        whole = self.folder / "whole"
        moving.join(self.pieces(), whole)
        return whole

    def remove(self) -> None:
        """The drawing is where it belongs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _piece(self, number: int) -> Path:
        return self.folder / f"{number}.piece"

    def _last(self, number: int) -> Path:
        return self.folder / f"{number}.png"


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """Only one command at a time draws a file.

    Raises:
        UserError: another one does.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    try:
        with FileLock(lock, timeout=0):
            yield
            lock.unlink(missing_ok=True)
    except Timeout:
        raise UserError(f"{shown(target)} is being drawn by another command") from None
