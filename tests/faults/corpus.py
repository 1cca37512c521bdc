"""Pictures of every format and mode that the decoders take, and what damage makes of them."""

import io
from collections.abc import Iterator

import numpy as np
import pillow_heif
from PIL import Image, ImageCms

pillow_heif.register_heif_opener()

TURNED = Image.Exif()
TURNED[0x0112] = 6
ABSURD = Image.Exif()
ABSURD[0x0112] = 4711
ABSURD[0x010E] = "x" * 60_000
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def whole() -> dict[str, bytes]:
    """Undamaged files by name, 40 x 48 pixels each."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    clear = picture.convert("P")
    files: dict[str, bytes] = {}

    def add(name: str, kind: str, one: Image.Image, **options: object) -> None:
        buffer = io.BytesIO()
        one.save(buffer, kind, **options)
        files[name] = buffer.getvalue()

    for kind, modes in {
        "JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "RGBA", "L", "LA", "P", "1"),
        "BMP": ("RGB", "P", "L", "1"), "GIF": ("P", "L"), "WEBP": ("RGB", "RGBA"),
        "TIFF": ("RGB", "RGBA", "L", "CMYK", "F", "1"), "AVIF": ("RGB", "RGBA"),
        "HEIF": ("RGB", "RGBA"),
    }.items():  # fmt: skip
        for mode in modes:
            add(f"{kind}-{mode}", kind, picture.convert(mode))
    rgb = picture.convert("RGB")
    for kind in ("PNG", "TIFF"):
        add(f"{kind}-16", kind, deep)
    for kind in ("JPEG", "PNG", "WEBP"):
        add(f"{kind}-turned", kind, rgb, exif=TURNED)
        add(f"{kind}-absurd", kind, rgb, exif=ABSURD)
        add(f"{kind}-icc", kind, rgb, icc_profile=PROFILE)
    add("PNG-clear-palette", "PNG", clear, transparency=3)
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        add(f"{kind}-frames", kind, rgb, save_all=True, append_images=[rgb.rotate(90)] * 2)
    add("JPEG-several", "MPO", rgb, save_all=True, append_images=[rgb.rotate(180)])
    return files


def damaged(seed: int, cuts: int, flips: int) -> Iterator[tuple[str, bytes]]:
    """Each file whole, with another behind it, cut off, and with 1 to 8 bits flipped.

    cuts: places, evenly spaced, at which each file is cut. flips: damaged copies of each.
    """
    rng = np.random.default_rng(seed)
    for name, data in whole().items():
        yield name, data
        yield f"{name} and a zip", data + b"PK\x03\x04" + data
        yield f"page before {name}", b"<html><!--" + data
        for number in range(cuts):
            yield f"{name} cut {number}", data[: len(data) * number // cuts]
        for number in range(flips):
            changed = bytearray(data)
            # Most of what breaks a parser stands at the beginning.
            end = len(data) if number % 2 else min(len(data), 200)
            for place in rng.integers(0, end, rng.integers(1, 9)):
                changed[place] ^= 1 << int(rng.integers(8))
            yield f"{name} flipped {number}", bytes(changed)
