"""One file, still or moving, through an image model."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from celflow.errors import UserError
from celflow.names import shown
from cli import picture_files
from cli.drawn_files import DrawnFiles, state_of
from cli.moving import draw as frame_by_frame
from cli.moving.files import open_moving
from cli.moving.frames import Moving
from cli.moving.work import Work, alone
from serving.client import Client, Prediction, VersionSpec, full_size


@dataclass(frozen=True)
class Artist:
    """An image model with its options.

    styles: `strength` and `abstraction`, where they are given.
    steady: 0 to 1, of moving pictures: how much of the drawing before stays.
    keep_exif: whether a drawing gets what the file says of itself.
    """

    client: Client
    model: str
    version: VersionSpec
    styles: Mapping[str, float]
    steady: float
    keep_exif: bool

    def how(self, target: Path) -> str:
        """All of the options that make a difference to a drawing."""
        how = f"{self.model} {self.version} {self.styles}"
        return how if target.suffix == ".png" else f"{how} steady {self.steady:g}"

    def draw(self, source: Path, target: Path, drawn: DrawnFiles) -> float:
        """Draw a file into its place; returns the milliseconds that it took.

        Raises:
            UserError: it can't be used, or the drawing can't be written.
            ServerError: as `Client.draw`.
        """
        moving = open_moving(source, self.keep_exif)
        if moving is not None:
            begun = time.perf_counter()
            try:
                self._draw_moving(moving, source, target, drawn)
            except OSError as error:
                reason = error.strerror or str(error)
                raise UserError(f"{shown(target)} can't be written: {reason}") from None
            return (time.perf_counter() - begun) * 1000
        photo = picture_files.read(source, full_size.from_bytes)
        answer = self._ask(photo, self.version)
        png = photo.finished(_png(answer), self.keep_exif)
        drawn.write(target, png, source, self.how(target))
        return answer.milliseconds

    def _draw_moving(self, moving: Moving, source: Path, target: Path, drawn: DrawnFiles) -> None:
        first = _photo(next(moving.frames()).pixels)
        version = self._ask(first, self.version).version  # all frames by the same one

        def model(pixels: np.ndarray) -> np.ndarray:
            photo = _photo(pixels)
            return np.asarray(photo.fitted(_png(self._ask(photo, version))))

        with alone(target):
            work = Work(target, f"{state_of(source)} {self.how(target)} version {version}")
            with tqdm(
                total=moving.count, desc=shown(source.name), unit="frame", leave=False, disable=None
            ) as bar:
                whole = frame_by_frame.draw(moving, work, model, self.steady, bar.update)
            drawn.adopt(target, whole, source, self.how(target))
            work.remove()

    def _ask(self, photo: full_size.Photo, version: VersionSpec) -> Prediction:
        return self.client.draw(self.model, photo.sent(), version, **self.styles)


def _photo(pixels: np.ndarray) -> full_size.Photo:
    return full_size.Photo(pixels, None, Image.Exif())


def _png(answer: Prediction) -> bytes:
    return bytes(answer.output("image_png", "an image model")[0])
