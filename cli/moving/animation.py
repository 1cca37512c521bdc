"""Animated GIF and WebP files, by Pillow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from celflow.errors import UserError
from celflow.images import MAX_PIXELS
from cli.moving.frames import Frame

FORMATS = ("GIF", "WEBP")
COLOURS = 255  # of a GIF; one more is for what is transparent
SAMPLE = 64  # px, of a side of the frames that a GIF's colours are chosen by
SAMPLED = 64  # frames
WEBP_QUALITY = 90


class Animation:
    """An animated GIF or WebP file.

    Raises:
        UserError: it is cut off or damaged, or too large.
    """

    piece_frames = 1

    def __init__(self, path: Path) -> None:
        self._path = path
        self._durations: list[int] = []  # milliseconds
        self._is_transparent = False
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise UserError(f"{width} x {height} is more than {MAX_PIXELS} pixels")
            self._format = str(picture.format)
            try:
                for frame in ImageSequence.Iterator(picture):
                    frame.load()
                    self._durations.append(int(frame.info.get("duration", 0)))
                    self._is_transparent |= _alpha(frame) is not None
            except Exception as error:  # on damaged bytes Pillow's parsers raise nearly anything
                raise UserError(f"the file is cut off or damaged ({error})") from None
            self._loop = picture.info.get("loop")
        self.count = len(self._durations)

    def frames(self) -> Iterator[Frame]:
        """All frames, composed, in order; times in milliseconds."""
        time = 0
        with Image.open(self._path, formats=FORMATS) as picture:
            for frame, duration in zip(
                ImageSequence.Iterator(picture), self._durations, strict=True
            ):
                ground = Image.new("RGBA", frame.size, "white")
                ground.alpha_composite(frame.convert("RGBA"))
                yield Frame(np.asarray(ground.convert("RGB")), _alpha(frame), time)
                time += duration

    def write_piece(self, path: Path, frames: Iterator[Frame]) -> None:
        """A piece is a PNG file of one frame."""
        (frame,) = frames
        picture = Image.fromarray(frame.pixels)
        if frame.alpha is not None:
            picture.putalpha(Image.fromarray(frame.alpha))
        picture.save(path, "PNG", compress_level=1)

    def join(self, pieces: list[Path], path: Path) -> None:
        """Write the animation, with the durations and the number of rounds of this one."""
        options: dict[str, Any] = {"duration": self._durations}
        if self._loop is not None:
            options["loop"] = self._loop
        if self._format == "WEBP":
            options |= {"quality": WEBP_QUALITY}
            pictures: Iterator[Image.Image] = (Image.open(piece) for piece in pieces)
        elif self._is_transparent:
            options |= {"disposal": 2}  # what is transparent shows no frame before
            pictures = (Image.open(piece).convert("RGBA") for piece in pieces)
        else:
            palette = _palette(pieces)  # one for all: colours of its own make each frame flicker
            pictures = (
                Image.open(piece).quantize(palette=palette, dither=Image.Dither.NONE)
                for piece in pieces
            )
        next(pictures).save(path, self._format, save_all=True, append_images=pictures, **options)


def suffix_of(path: Path) -> str:
    """`.gif` or `.webp` for a file of several frames, whatever it is called; else nothing."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            animated = bool(getattr(picture, "is_animated", False))
            return f".{str(picture.format).lower()}" if animated else ""
    except Exception:  # another format, or damaged: told when it is drawn
        return ""


def _alpha(frame: Image.Image) -> np.ndarray | None:
    if not frame.has_transparency_data:
        return None
    alpha = np.asarray(frame.convert("RGBA").getchannel("A"))
    return alpha if alpha.min() < 255 else None


def _palette(pieces: list[Path]) -> Image.Image:
    """The commonest colours of the whole, as a picture that has them."""
    chosen = pieces[:: -(-len(pieces) // SAMPLED)]
    sample = Image.new("RGB", (SAMPLE * len(chosen), SAMPLE))
    for number, piece in enumerate(chosen):
        small = Image.open(piece).resize((SAMPLE, SAMPLE), Image.Resampling.NEAREST)
        sample.paste(small, (SAMPLE * number, 0))
    return sample.quantize(COLOURS, Image.Quantize.MEDIANCUT)
