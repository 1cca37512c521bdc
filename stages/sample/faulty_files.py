"""What a folder from the real world holds besides usable pictures, for `clean` to find."""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from stages.sample.cast import CAST
from stages.sample.drawings import illustration, scene
from stages.sample.encoding import encoded, jpeg, png
from stages.sample.photos import SOURCES, photo, read_source, spread_crops
from stages.sample.scenes import SCENES

# Files that a folder from the real world might hold, and what is the matter with each.
FAULTY_FILES = {
    "cartoon_or_photo/cartoon/untitled.png": "empty",
    "cartoon_or_photo/cartoon/scan_0412.jpg": "truncated",
    "cartoon_or_photo/cartoon/download.jpg": "text",
    "cartoon_or_photo/cartoon/poster.jpg": "png_named_jpg",
    "cartoon_or_photo/cartoon/pixel.png": "one_pixel",
    "cartoon_or_photo/cartoon/print_ready.jpg": "cmyk",
    "cartoon_or_photo/cartoon/ink_scan.png": "grey_16_bit",
    "cartoon_or_photo/cartoon/frame.gif": "gif",
    "cartoon_or_photo/cartoon/sticker.png": "transparent",
    "cartoon_or_photo/cartoon/favourite.png": "original",
    "cartoon_or_photo/cartoon/favourite_copy.png": "exact_duplicate",
    "cartoon_or_photo/cartoon/wallpaper.jpg": "original",
    "cartoon_or_photo/cartoon/wallpaper_small.jpg": "near_duplicate",
    "cartoon_or_photo/cartoon/postcard.jpg": "in_two_classes",
    "cartoon_or_photo/photo/postcard__001.jpg": "in_two_classes",
    "cartoon_or_photo/photo/upload__001.jpg": "truncated",
    "cartoon_or_photo/photo/upload__002.jpg": "empty",
    "cartoon_or_photo/photo/upload__003.jpg": "text",
    "cartoon_or_photo/photo/astronaut__phone.jpg": "exif_rotated",
    "cartoon_or_photo/photo/coffee__export.jpg": "original",
    "cartoon_or_photo/photo/coffee__export_copy.jpg": "exact_duplicate",
    "cartoon_or_photo/photo/china__export.jpg": "original",
    "cartoon_or_photo/photo/china__export_small.jpg": "near_duplicate",
    "characters/amari/commission.jpg": "truncated",
    "characters/amari/together.png": "in_two_classes",
    "characters/fennel/together.png": "in_two_classes",
    "characters/fennel/avatar.png": "one_pixel",
}


def add_faulty_files(folder: Path, rng: np.random.Generator) -> None:
    """Write every file of `FAULTY_FILES`; a copy is of the file before it in that table."""
    last = b""
    shared: dict[str, bytes] = {}
    for name, fault in FAULTY_FILES.items():
        path = folder / name
        if fault == "exact_duplicate":
            data = last
        elif fault == "near_duplicate":
            with Image.open(io.BytesIO(last)) as picture:
                size = (round(picture.width * 0.92), round(picture.height * 0.92))
                data = jpeg(np.asarray(picture.resize(size)), 70)
        elif fault == "in_two_classes":
            key = path.stem.partition("__")[0]
            data = shared.setdefault(key, spoiled(name, fault, rng))
        else:
            data = spoiled(name, fault, rng)
        path.write_bytes(data)
        last = data


def spoiled(name: str, fault: str, rng: np.random.Generator) -> bytes:
    """The bytes of a fresh picture that suits the folder, with the fault."""
    if fault == "empty":
        return b""
    if fault == "text":
        return b"<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n"
    folder = name.split("/")[1]
    if folder == "photo" and (source := Path(name).name.partition("__")[0]) in SOURCES:
        pixels = photo(source, spread_crops(read_source(source), 1, rng)[0], rng)
    elif folder in ("photo", "cartoon"):
        pixels = scene(list(SCENES)[rng.integers(len(SCENES))], rng)
    else:
        pixels = illustration(next(design for design in CAST if design.name == folder), rng)
    if fault == "truncated":
        whole = jpeg(pixels, 90)
        return whole[: len(whole) * 2 // 5]
    if fault == "png_named_jpg":
        return png(pixels)
    if fault == "one_pixel":
        return png(pixels[:1, :1])
    if fault == "cmyk":
        return encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=90)
    if fault == "grey_16_bit":
        return png(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257)
    if fault == "gif":
        return encoded(Image.fromarray(pixels).quantize(128), "GIF")
    if fault == "transparent":
        height, width = pixels.shape[:2]
        alpha = cv2.ellipse(
            np.zeros((height, width), np.uint8),
            ((width / 2, height / 2), (width * 0.9, height * 0.9), 0),
            255,
            -1,
            cv2.LINE_AA,
        )
        return png(np.dstack([pixels, alpha]))
    if fault == "exif_rotated":
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6  # "turn me 90 degrees clockwise"
        return jpeg(np.ascontiguousarray(np.rot90(pixels)), 90, exif=exif)
    return png(pixels) if name.endswith(".png") else jpeg(pixels, 92)
