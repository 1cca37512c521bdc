"""Write the built-in sample, `data/sample/`: what the pipeline runs on without any download.

Cartoons and characters are drawn here; photographs are cut from those that installed packages ship.
Some rubbish is among them on purpose, for `clean` to find. Same parameters, same bytes.
"""

import importlib.util
import io
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from celflow import errors
from celflow.files import atomic_dir
from celflow.parallel import each
from celflow.params import Params, Sample, load
from stages.drawing.cast import CAST, Design
from stages.drawing.pictures import draw_illustration, draw_scene
from stages.drawing.scenes import SCENES

Box = tuple[int, int, int, int]  # left, top, width, height
Job = tuple[Callable[..., np.ndarray], tuple]  # what draws a picture, and its arguments but `rng`

# Of each: the package, the file, and how many turns it takes while the others take one. The grey
# ones are there because a grey picture may be of either class.
SOURCES = {
    "astronaut": ("skimage", "data/astronaut.png", 3),
    "china": ("sklearn", "datasets/images/china.jpg", 3),
    "coffee": ("skimage", "data/coffee.png", 3),
    "flower": ("sklearn", "datasets/images/flower.jpg", 3),
    "motorcycle": ("skimage", "data/motorcycle_left.png", 3),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", 3),
    "chelsea": ("skimage", "data/chelsea.png", 3),
    "rocket": ("skimage", "data/rocket.jpg", 3),
    "ihc": ("skimage", "data/ihc.png", 3),
    "hubble": ("skimage", "data/hubble_deep_field.jpg", 2),
    "retina": ("skimage", "data/retina.jpg", 2),
    "camera": ("skimage", "data/camera.png", 1),
    "coins": ("skimage", "data/coins.png", 1),
    "grass": ("skimage", "data/grass.png", 1),
    "brick": ("skimage", "data/brick.png", 1),
    "gravel": ("skimage", "data/gravel.png", 1),
    "moon": ("skimage", "data/moon.png", 1),
}

# Files that a folder from the real world might hold, and what is the matter with each.
RUBBISH = {
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


def make_sample(folder: Path, params: Sample, backend: str = "loky") -> None:
    """Write the sample to `folder`, in place of what may be there; nothing is left half-written.

    Below `folder`: `cartoon_or_photo/cartoon/<kind>_NNN`, `cartoon_or_photo/photo/<source>__NNN`,
    `characters/<name>/NNN`, each .jpg or .png, and the files in `RUBBISH`. `backend` is joblib's.

    Raises:
        UserError: a package ships one of the photographs no more.
    """
    jobs = {**cartoon_jobs(params), **photo_jobs(params), **character_jobs(params)}
    with atomic_dir(folder) as new:
        for name in {Path(name).parent for name in jobs}:
            (new / name).mkdir(parents=True)
        each(partial(write_picture, new, params.seed), list(jobs.items()), backend, "sample")
        add_rubbish(new, generator(params.seed, "rubbish"))


def generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers of a picture's own, so that no picture depends on the order of the work."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def cartoon_jobs(params: Sample) -> dict[str, Job]:
    """Every drawing by its path without ending: all kinds in turn, and some people on top."""
    kinds = list(SCENES)
    things = {
        f"{kinds[i % len(kinds)]}_{i // len(kinds):03d}": kinds[i % len(kinds)]
        for i in range(params.drawings)
    }
    people = {f"person_{i:03d}": "person" for i in range(params.drawings // 5)}
    return {
        f"cartoon_or_photo/cartoon/{n}": (scene, (kind,)) for n, kind in (things | people).items()
    }


def photo_jobs(params: Sample) -> dict[str, Job]:
    """Every photograph by its path without ending: the sources in turn, by their weights."""
    turns = [name for turn in range(3) for name, (_, _, weight) in SOURCES.items() if weight > turn]
    names = [turns[i % len(turns)] for i in range(params.photos)]
    jobs: dict[str, Job] = {}
    for source in dict.fromkeys(names):
        rng = generator(params.seed, source)
        crops = spread_crops(read_source(source), names.count(source), rng)
        jobs |= {
            f"cartoon_or_photo/photo/{source}__{i:03d}": (photo, (source, c))
            for i, c in enumerate(crops)
        }
    return jobs


def character_jobs(params: Sample) -> dict[str, Job]:
    """Every illustration by its path without ending."""
    return {
        f"characters/{design.name}/{i:03d}": (illustration, (design,))
        for design in CAST[: params.characters]
        for i in range(params.illustrations)
    }


def write_picture(folder: Path, seed: int, named_job: tuple[str, Job]) -> None:
    """Draw one picture and write it as JPEG or PNG; neither format nor size tells the class."""
    name, (draw, arguments) = named_job
    rng = generator(seed, name)
    path = folder / name
    if rng.uniform() < 0.75:
        path.with_suffix(".jpg").write_bytes(jpeg(draw(*arguments, rng), int(rng.integers(75, 96))))
    else:
        path.with_suffix(".png").write_bytes(png(draw(*arguments, rng)))


def picture_size(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height in pixels: the longer side 256 to 480, from upright to landscape format."""
    long, ratio = int(rng.integers(256, 481)), rng.choice([0.67, 0.75, 0.8, 1.0])
    short = round(long * ratio)
    return (long, short) if rng.uniform() < 0.6 else (short, long)


def scene(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A drawing of any size as uint8 [H, W, 3]."""
    return draw_scene(kind, *picture_size(rng), rng)


def illustration(design: Design, rng: np.random.Generator) -> np.ndarray:
    """A character, 340 to 420 pixels high, as uint8 [H, W, 3]."""
    height = int(rng.integers(340, 421))
    return draw_illustration(design, round(height * rng.choice([0.7, 0.8, 1.0])), height, rng)


def photo(source: str, crop: Box, rng: np.random.Generator) -> np.ndarray:
    """A part of a photograph, now and then mirrored, at its own exposure, as uint8 [H, W, 3]."""
    left, top, width, height = crop
    part = read_source(source)[top : top + height, left : left + width]
    scale = rng.integers(256, 481) / max(width, height)
    size = (round(width * scale), round(height * scale))
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if rng.uniform() < 0.5:
        part = part[:, ::-1]
    exposed = 255 * (part / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.9, 1.08)
    return np.clip(exposed + 0.5, 0, 255).astype(np.uint8)


def read_source(source: str) -> np.ndarray:
    """A photograph as uint8 [H, W, 3], read from the package without importing it."""
    package, inner, _ = SOURCES[source]
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0] if folders else package) / inner
    if not path.is_file():
        raise errors.UserError(
            f"{package} ships no {inner}: install the version in requirements.lock"
        )
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def spread_crops(pixels: np.ndarray, count: int, rng: np.random.Generator) -> list[Box]:
    """`count` splits of a picture: of 40 random ones the least like those before it, and not empty.

    `pixels` is uint8 [H, W, 3].
    """
    height, width = pixels.shape[:2]
    coarse = cv2.resize(pixels, (width // 8, height // 8), interpolation=cv2.INTER_AREA)

    def dullness(crop: Box) -> float:
        left, top, wide, high = (n // 8 for n in crop)
        part = coarse[top : top + high, left : left + wide]
        return 1 - min(float(part.std(axis=(0, 1)).mean()) / 30, 1)

    crops: list[Box] = []
    for _ in range(count):
        choices = []
        for _ in range(40):
            ratio = rng.choice([0.67, 0.75, 0.8, 1.0, 1.25, 1.33, 1.5])
            long = min(rng.uniform(0.4, 1.0) * min(width, height), 620)
            w, h = round(long * min(1, ratio)), round(long * min(1, 1 / ratio))
            left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
            choices.append((int(left), int(top), w, h))
        scores = [max((overlap(c, d) for d in crops), default=0) + dullness(c) for c in choices]
        crops.append(choices[int(np.argmin(scores))])
    return crops


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0 to 1."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(wide, 0) * max(high, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


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


def add_rubbish(folder: Path, rng: np.random.Generator) -> None:
    """Write every file of `RUBBISH`; a copy is of the file before it in that table."""
    last = b""
    shared: dict[str, bytes] = {}
    for name, fault in RUBBISH.items():
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


def run(params: Params) -> None:
    """Write `data/sample`, as `params.yaml` says."""
    make_sample(Path("data/sample"), params.sample, params.data.backend)


if __name__ == "__main__":
    errors.run(lambda: run(load()))
