"""Decode and encode images; every untrusted file goes through `open_image`."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from pillow_heif import register_heif_opener

from celflow.colour_profiles import profile_of, to_srgb

register_heif_opener()

SUFFIXES = {
    "jpg": "JPEG", "jpeg": "JPEG", "jfif": "JPEG", "png": "PNG", "bmp": "BMP", "gif": "GIF",
    "webp": "WEBP", "tif": "TIFF", "tiff": "TIFF", "avif": "AVIF", "heic": "HEIF", "heif": "HEIF",
}  # fmt: skip
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))
NAMES = "JPEG, PNG, BMP, GIF, WebP, TIFF, AVIF or HEIC"
SERVED_FORMATS = ("JPEG", "PNG", "GIF")  # TensorFlow's decoder ignores the palette of a BMP
MAX_PIXELS = 64_000_000  # a larger picture is refused as a possible decompression bomb
STRIP = 2**20  # pixels that are converted at once

Reason = Literal["empty", "not_an_image", "truncated", "too_small", "too_large"]
REASONS: tuple[str, ...] = get_args(Reason)


class BadImage(ValueError):
    """Bytes that are no usable picture; `reason` is one of `REASONS`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Opened:
    """A decoded picture.

    pixels: uint8 [H, W, 3], RGB, upright.
    format: the real format of the bytes, one of `FORMATS`, whatever the file's name says.
    repairs: any of `exif_rotated`, `cmyk`, `16_bit`, `transparent`, `grey`, `palette`,
        `colour_profile`.
    """

    pixels: np.ndarray
    format: str
    repairs: tuple[str, ...]


def open_image(data: bytes, min_side: int = 1, max_pixels: int = MAX_PIXELS) -> Opened:
    """Decode `data` into upright sRGB: on white where it is transparent, frame one of animations.

    Raises:
        BadImage: `data` is empty, of no known format, cut off, smaller than `min_side` pixels on a
            side, or of more than `max_pixels` pixels (checked before anything is decoded).
    """
    if not data:
        raise BadImage("empty", "the file is empty")
    try:
        with warnings.catch_warnings():
            # The size is checked below; Pillow warns from half of its own limit on.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise BadImage("not_an_image", f"the file is no {NAMES} picture") from None
    except Image.DecompressionBombError:
        raise BadImage("too_large", f"the picture has more than {max_pixels} pixels") from None
    except Exception as error:  # on damaged bytes Pillow's parsers raise nearly anything
        raise BadImage("not_an_image", f"the header can't be read ({error})") from None

    width, height = picture.size
    if width * height > max_pixels:
        raise BadImage("too_large", f"{width} x {height} is more than {max_pixels} pixels")
    if min(width, height) < min_side:
        raise BadImage("too_small", f"{width} x {height} is under {min_side} pixels on a side")
    try:
        picture.load()
        pixels, repairs = _to_rgb(picture)
    except Exception as error:
        raise BadImage("truncated", f"the file is cut off or damaged ({error})") from None
    # A JPEG with further pictures behind it, as some phones write.
    kind = "JPEG" if picture.format == "MPO" else str(picture.format)
    return Opened(pixels, kind, repairs)


def read_image(path: Path, min_side: int = 1) -> Opened:
    """`open_image` on a file. Raises BadImage, and OSError where the file can't be read."""
    return open_image(Path(path).read_bytes(), min_side)


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG bytes of uint8 [H, W, 3] RGB or [H, W] grey."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def shrink(pixels: np.ndarray, max_side: int) -> np.ndarray:
    """uint8 [H, W, 3] with its longer side at most `max_side` pixels, aspect ratio kept."""
    height, width = pixels.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _orientation(picture: Image.Image) -> object:
    """Of EXIF; 1, upright, where EXIF is damaged."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as on other damaged bytes
        return 1


def _to_rgb(picture: Image.Image) -> tuple[np.ndarray, tuple[str, ...]]:
    repairs = []
    profile = profile_of(picture)
    if profile:
        repairs.append("colour_profile")
    if _orientation(picture) not in (0, 1):
        repairs.append("exif_rotated")
        picture = ImageOps.exif_transpose(picture)
    deep = picture.mode.startswith("I") or picture.mode == "F"
    if deep:
        repairs.append("16_bit")
    elif picture.mode == "CMYK":
        repairs.append("cmyk")
    elif picture.mode == "P":
        repairs.append("palette")
    elif picture.mode in ("1", "L", "LA"):
        repairs.append("grey")
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    transparent = False
    # Some rows at a time: copies of a large picture would take more than a gigabyte.
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = picture.crop((0, top, width, min(top + rows, height)))
        if deep:
            values = np.asarray(strip, dtype=np.float64)
            strip = Image.fromarray((np.clip(values, 0, 65535) / 257).round().astype(np.uint8))
        if strip.has_transparency_data:
            layer = strip.convert("RGBA")
            alpha = layer.getchannel("A")
            transparent |= alpha.getextrema() != (255, 255)
            layer = to_srgb(layer.convert("RGB"), profile)
            layer.putalpha(alpha)
            strip = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            pixels[top : top + rows] = np.asarray(strip.convert("RGB"))
            continue
        if strip.mode not in ("L", "CMYK"):
            strip = strip.convert("RGB")
        pixels[top : top + rows] = np.asarray(to_srgb(strip, profile))
    if transparent:
        repairs.append("transparent")
    return pixels, tuple(repairs)
