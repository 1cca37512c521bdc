"""The one door for users' pictures: any format, upright, in sRGB, as the model server takes them.

More formats come in here than through `celflow.images`, by which the pipeline reads its data.
"""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from pillow_heif import register_heif_opener

from celflow.images import (
    FORMATS,
    MAX_PIXELS,
    SERVED_FORMATS,
    SUFFIXES,
    BadImage,
    encode_png,
    open_image,
)

register_heif_opener()

USER_FORMATS = (*FORMATS, "TIFF", "AVIF", "HEIF")
USER_SUFFIXES = (*SUFFIXES, "tif", "tiff", "avif", "heic", "heif", "jfif")
NAMES = "JPEG, PNG, BMP, GIF, WebP, TIFF, AVIF or HEIC"
MIN_SIDE = 8  # px; of less nothing can be said

_PNG_EXIF = (b"eXIf", b"Raw profile type", b"tiff:Orientation")
_SAME = 2  # levels by which colours may differ from sRGB's and still count as the same


@dataclass(frozen=True)
class UserPicture:
    """A user's picture.

    format: the real format of the bytes, one of `USER_FORMATS`, whatever the file's name says.
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
        BadImage: it is empty, no picture, cut off, under `MIN_SIDE` pixels on a side, or of more
            than `MAX_PIXELS` pixels.
    """
    picture = _header(data)
    kind = str(picture.format)
    if _is_served_as_it_is(picture, data):
        return UserPicture(kind, open_image(data).pixels, data)
    pixels = _decode(picture)
    return UserPicture(kind, pixels, encode_png(pixels))


def sendable(data: bytes) -> bytes:
    """`UserPicture.data` of a file: what needs no change is not decoded.

    Raises:
        BadImage: as `open_picture`; a file that is cut off is told by the server where it is sent
            as it is.
    """
    picture = _header(data)
    return data if _is_served_as_it_is(picture, data) else encode_png(_decode(picture))


def why_refused(data: bytes, error: Exception) -> str:
    """Why the server refused a picture that was sent as it is: our words where it is damaged."""
    try:
        open_picture(data)
    except BadImage as damage:
        return str(damage)
    return str(error)


def _header(data: bytes) -> Image.Image:
    """The picture, not decoded yet."""
    if not data:
        raise BadImage("empty", "the file is empty")
    try:
        picture = Image.open(io.BytesIO(data), formats=USER_FORMATS)
    except UnidentifiedImageError:
        raise BadImage("not_an_image", f"the file is no {NAMES} picture") from None
    except Image.DecompressionBombError:
        raise BadImage("too_large", f"the picture has more than {MAX_PIXELS} pixels") from None
    except Exception as error:  # on damaged bytes Pillow's parsers raise nearly anything
        raise BadImage("not_an_image", f"the header can't be read ({error})") from None
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise BadImage("too_large", f"{width} x {height} is more than {MAX_PIXELS} pixels")
    if min(width, height) < MIN_SIDE:
        raise BadImage("too_small", f"{width} x {height} is under {MIN_SIDE} pixels on a side")
    return picture


def _is_served_as_it_is(picture: Image.Image, data: bytes) -> bool:
    """Whether the server's decoder makes the right pixels of it.

    It ignores EXIF orientation, colour profiles and transparency, and decodes every frame.
    """
    return (
        picture.format in SERVED_FORMATS
        and not picture.has_transparency_data
        and not _is_animated(picture)
        and _profile(picture) is None
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


def _decode(picture: Image.Image) -> np.ndarray:
    """uint8 [H, W, 3] as `UserPicture.pixels`."""
    profile = _profile(picture)
    try:
        picture.load()
        picture = ImageOps.exif_transpose(picture)
    except Exception as error:
        raise BadImage("truncated", f"the file is cut off or damaged ({error})") from None
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits a level
        values = np.asarray(picture, np.float64).clip(0, 65535)
        picture = Image.fromarray((values / 257).round().astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        alpha = layer.getchannel("A")
        colours = _to_srgb(layer.convert("RGB"), profile)
        ground = Image.new("RGB", layer.size, "white")
        ground.paste(colours, mask=alpha)
        return np.asarray(ground)
    if picture.mode not in ("L", "CMYK"):
        picture = picture.convert("RGB")
    return np.asarray(_to_srgb(picture, profile).convert("RGB"))


def _profile(picture: Image.Image) -> bytes | None:
    """Its colour profile, where that makes a difference."""
    profile = picture.info.get("icc_profile")
    if not profile or _transform(profile, _transformed_mode(picture.mode)) is None:
        return None
    return bytes(profile)


def _transformed_mode(mode: str) -> str:
    return mode if mode in ("L", "CMYK") else "RGB"


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    transform = _transform(profile, picture.mode) if profile else None
    if transform is None:
        return picture
    return ImageCms.applyTransform(picture, transform) or picture


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None where it changes next to nothing, or can't be read."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
        )
        levels = np.arange(0, 256, 51).astype(np.uint8)
        axes = np.meshgrid(*[levels] * len(Image.new(mode, (1, 1)).getbands()), indexing="ij")
        colours = np.stack(axes, -1).reshape(-1, 1, len(axes))
        probe = Image.fromarray(colours.squeeze(-1) if len(axes) == 1 else colours, mode)
        before = np.asarray(probe.convert("RGB"), int)
        after = np.asarray(ImageCms.applyTransform(probe, transform), int)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return transform if np.abs(after - before).max() > _SAME else None
