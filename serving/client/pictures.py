"""Users' pictures as the model server takes them."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

from celflow.colour_profiles import profile_of
from celflow.images import MAX_PIXELS, SERVED_FORMATS, BadImage, encode_png, open_image

MIN_SIDE = 8  # px; of less nothing can be said

_PNG_EXIF = (b"eXIf", b"Raw profile type", b"tiff:Orientation")


@dataclass(frozen=True)
class UserPicture:
    """A user's picture.

    format: the real format of the bytes, one of `FORMATS`, whatever the file's name says.
    pixels: uint8 [H, W, 3], sRGB, upright, on white where it is transparent; frame one of many.
    data: an encoded picture of the same pixels that the model server takes: the file as it is,
        where the server decodes that to the same.
    """

    format: str
    pixels: np.ndarray
    data: bytes


def open_picture(data: bytes) -> UserPicture:
    """Decode a user's file.

    Raises:
        BadImage: as `open_image`; also under `MIN_SIDE` pixels on a side.
    """
    opened = open_image(data, MIN_SIDE)
    as_it_is = _is_served_as_it_is(data)
    return UserPicture(
        opened.format, opened.pixels, data if as_it_is else encode_png(opened.pixels)
    )


def sendable(data: bytes) -> bytes:
    """`UserPicture.data` of a file: what needs no change is not decoded.

    Raises:
        BadImage: as `open_picture`; a file that is cut off is told by the server where it is sent
            as it is.
    """
    return data if _is_served_as_it_is(data) else open_picture(data).data


def why_refused(data: bytes, error: Exception) -> str:
    """Why the server refused a picture that was sent as it is: our words where it is damaged."""
    try:
        open_picture(data)
    except BadImage as damage:
        return str(damage)
    return str(error)


def _is_served_as_it_is(data: bytes) -> bool:
    """Whether the server's decoder makes the right pixels of it.

    It ignores EXIF orientation, colour profiles and transparency, and decodes every frame.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=SERVED_FORMATS)
    except Exception:  # of another format, or damaged: who decodes it says so
        return False
    return (
        picture.width * picture.height <= MAX_PIXELS
        and min(picture.size) >= MIN_SIDE
        and picture.format in SERVED_FORMATS
        and not picture.has_transparency_data
        and not _is_animated(picture)
        and profile_of(picture) is None
        and _is_upright(picture, data)
    )


def _is_animated(picture: Image.Image) -> bool:
    """Whether there is more than one frame; also where the second is damaged."""
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # Pillow reads on to tell
        return True


def _is_upright(picture: Image.Image, data: bytes) -> bool:
    """Whether no EXIF or XMP data say that it has to be turned."""
    if picture.format == "PNG" and not any(mark in data for mark in _PNG_EXIF):
        return True  # Pillow would decode all of it to look behind the pixels, too
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1) in (0, 1)
    except Exception:  # damaged: what decodes it will say so
        return True
