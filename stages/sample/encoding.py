"""Pixels as the bytes of a file."""

import io

import numpy as np
from PIL import Image


def jpeg(pixels: np.ndarray, quality: int, **options: object) -> bytes:
    """JPEG bytes of uint8 [H, W, 3]."""
    return encoded(Image.fromarray(pixels), "JPEG", quality=quality, **options)


def png(pixels: np.ndarray) -> bytes:
    """PNG bytes of uint8 [H, W, 3] or [H, W, 4], or uint16 [H, W]."""
    return encoded(Image.fromarray(pixels), "PNG")


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    """The bytes of a file in the format `form`."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
