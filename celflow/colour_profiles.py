"""From a picture's own colours to sRGB, by its ICC profile."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_SAME = 2  # levels by which colours may differ from sRGB's and still count as the same


def profile_of(picture: Image.Image) -> bytes | None:
    """A picture's colour profile, where that makes a difference."""
    profile = picture.info.get("icc_profile")
    if not profile or _transform(bytes(profile), _transformed_mode(picture.mode)) is None:
        return None
    return bytes(profile)


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture of mode RGB; of mode L, RGB or CMYK where there is a profile to go by."""
    transform = _transform(profile, picture.mode) if profile else None
    if transform is None:
        return picture.convert("RGB")
    return ImageCms.applyTransform(picture, transform) or picture.convert("RGB")


def _transformed_mode(mode: str) -> str:
    return mode if mode in ("L", "CMYK") else "RGB"


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
