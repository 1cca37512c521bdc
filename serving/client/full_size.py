"""Picture files for image models: of any size, with their colours, alpha and EXIF."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps

from celflow.images import FORMATS, encode_png
from serving.client.pictures import open_picture

MAX_SENT_PIXELS = 4 << 20  # that the image models draw; larger pictures are drawn in as many
BOX = Image.Resampling.BOX
ORIENTATION = ExifTags.Base.Orientation


@dataclass(frozen=True)
class Photo:
    """A picture file, ready to be drawn.

    pixels: uint8 [H, W, 3], sRGB, upright, on white where it is transparent.
    alpha: uint8 [H, W], or None where nothing is transparent.
    exif: of the file, but for the orientation.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    exif: Image.Exif

    def sent(self) -> bytes:
        """PNG bytes of the picture, no larger than models draw."""
        height, width = self.pixels.shape[:2]
        scale = (MAX_SENT_PIXELS / (height * width)) ** 0.5
        if scale >= 1:
            return encode_png(self.pixels)
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        return encode_png(np.asarray(Image.fromarray(self.pixels).resize(size, BOX)))

    def fitted(self, drawn: bytes) -> Image.Image:
        """A drawing's PNG bytes as a picture in this one's size, RGB."""
        drawing = Image.open(io.BytesIO(drawn)).convert("RGB")
        height, width = self.pixels.shape[:2]
        if drawing.size == (width, height):
            return drawing
        return drawing.resize((width, height), Image.Resampling.BICUBIC)

    def finished(self, drawn: bytes, keep_exif: bool) -> bytes:
        """A drawing's PNG bytes, in the picture's size and with its alpha; EXIF if asked for."""
        drawing = self.fitted(drawn)
        if self.alpha is not None:
            drawing.putalpha(Image.fromarray(self.alpha))
        buffer = io.BytesIO()
        exif = self.exif.tobytes() if keep_exif and len(self.exif) else None
        drawing.save(buffer, "PNG", compress_level=1, **({"exif": exif} if exif else {}))
        return buffer.getvalue()


def from_bytes(data: bytes) -> Photo:
    """A picture from its file's bytes.

    Raises:
        BadImage: they are no picture.
    """
    pixels = open_picture(data).pixels
    picture: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    exif, alpha = picture.getexif(), None
    if picture.has_transparency_data:
        upright = ImageOps.exif_transpose(picture)
        alpha = np.asarray(upright.convert("RGBA").getchannel("A"))
    exif.pop(ORIENTATION, None)  # the pixels are upright
    return Photo(pixels, alpha, exif)
