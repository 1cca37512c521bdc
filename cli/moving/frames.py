"""What a moving picture is, whatever its file's format."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One picture of many.

    pixels: uint8 [H, W, 3], sRGB, upright, on white where it is transparent.
    alpha: uint8 [H, W], or None where nothing is transparent.
    time: when it begins, in the file's own units.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    time: int


class Moving(Protocol):
    """A file of frames: read one after another, and written in pieces that are then joined."""

    count: int  # frames
    piece_frames: int  # of each piece but the last

    def frames(self) -> Iterator[Frame]:
        """All frames in order."""

    def write_piece(self, path: Path, frames: Iterator[Frame]) -> None:
        """Write some successive frames; the same ones make the same bytes."""

    def join(self, pieces: list[Path], path: Path) -> None:
        """Write the whole, with the times and the sound of this file."""
