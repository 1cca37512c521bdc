"""The pictures that face_detector's weights are learnt from, with the boxes of their faces."""

import zlib
from pathlib import Path

import cv2
import numpy as np

from benchmarks.released.face_boxes import boxes_of
from benchmarks.released.face_canvases import Picture
from celflow.faces import by_cascade
from celflow.images import read_image, shrink
from stages.sample import cast, drawings, scenes
from stages.sample.canvas import SUPERSAMPLING, Canvas, random_colour

PAINTED = 260  # scenes
WHOLE_CROP = (0.503, 0.539, 1.02)  # of a crop's width: centre and side of the face in characters16
OTHERS = ("clipart", "creature", "portrait", "storybook")  # drawings, some with faces that count
# neither for nor against


def gather(
    real: Path, leave: int | None
) -> tuple[dict[str, list[Picture]], dict[Path, np.ndarray], list[Path]]:
    """Pictures by kind, as `Maker` takes them; and those left out: drawings with boxes, photos."""
    cascade = real / "lbpcascade_animeface.xml"
    drawn = real / "cartoon_or_photo/cartoon"
    photos = sorted((real / "cartoon_or_photo/photo").iterdir())
    characters = sorted((real / "characters3").rglob("*.*"))
    screens = [*sorted(drawn.glob("screen_*")), *sorted(drawn.glob("poster_*"))]
    files = [*characters, *screens]
    found = dict(zip(files, boxes_of(files, cascade), strict=True))
    truth = {file: found[file][:1] for file in characters}  # one character an illustration
    for boxes in truth.values():
        boxes[:, 3] = 1.0
    crops = [*(real / "characters16").rglob("*.jpg")]
    for style in ("cast", "stickers"):
        crops += (real / "characters_more").glob(f"{style}_*/*")
    none = np.zeros((0, 4))
    pictures = {
        "characters": [read(f, truth[f]) for f in characters if not is_left(f, leave)],
        "screens": [read(f, found[f], whole=False) for f in screens],
        "painted": [painted(seed) for seed in range(PAINTED)],
        "faces": [one for f in sorted(crops) if (one := crop(f, cascade)) is not None],
        "photos": [read(f, none) for f in photos if not is_left(f, leave)],
        "others": [read(f, none, whole=False) for k in OTHERS for f in drawn.glob(f"{k}_*")],
    }
    left = {file: boxes for file, boxes in truth.items() if is_left(file, leave)}
    return pictures, left, [file for file in photos if is_left(file, leave)]


def is_left(file: Path, leave: int | None) -> bool:
    """Whether a picture is of the half that is kept out."""
    return leave is not None and zlib.crc32(f"{file.parent.name}/{file.name}".encode()) % 2 == leave


def painted(seed: int) -> Picture:
    """A scene of the sample's painter with one to ten people of all colours."""
    rng = np.random.default_rng(seed)
    height = int(rng.integers(360, 560))
    canvas = Canvas.blank(
        int(height * rng.choice([0.7, 0.8, 1, 1.25])), height, drawings.random_style(rng)
    )
    scenes.draw_backdrop(canvas, rng)
    count = int(rng.choice([1, 1, 2, 3, 4, 5, 7, 10]))
    places = np.sort(rng.uniform(0.15, 0.75, count)) if count > 1 else rng.uniform(0.25, 0.6, 1)
    columns = rng.permutation(np.arange(1, count + 1) / (count + 1)) * canvas.aspect
    boxes: list[list[float]] = []
    for x, y in zip(columns + rng.normal(0, 0.04, count), places, strict=True):
        before = canvas.pixels.copy()
        view = canvas.at(x, y, rng.uniform(0.1, 0.26) / count**0.5, rng.normal() * 12)
        hair, eyes, accent = (bytes(random_colour(rng, (0, 0.9))).hex() for _ in range(3))
        skin = str(rng.choice(["ffe4d4", "f6d0b4", "ffeede", "c98f6a", "8d5a3c", "e8b890"]))
        design = cast.Design(
            "", hair, eyes, str(rng.choice(list(cast.BACK_HAIR))),
            str(rng.choice(list(cast.FRINGE))),
            rng.uniform(0, 1.35), str(rng.choice([one.accessory for one in cast.CAST])), accent,
            rng.uniform(-7, 8), float(rng.choice([1, 0.95, 0.86])), skin,
        )  # fmt: skip
        cast.draw_figure(view, cast.random_look(design, rng))
        changed = (canvas.pixels != before).any(axis=2)
        for box in boxes:  # who is covered is no face any more
            (u, v), r = np.array(box[:2]) * SUPERSAMPLING, 0.42 * box[2] * SUPERSAMPLING
            part = changed[max(0, int(v - r)) : int(v + r), max(0, int(u - r)) : int(u + r)]
            if part.size and part.mean() > 0.4:
                box[3] = 0.0
        centre = view.matrix @ (0, 0.47, 1) / SUPERSAMPLING
        boxes.append([*centre, 2.5 * view.scale / SUPERSAMPLING, 1.0])
    return Picture(drawings.finish(canvas, rng), np.array(boxes))


def read(file: Path, boxes: np.ndarray, whole: bool = True, side: int = 640) -> Picture:
    pixels = read_image(file).pixels
    small = shrink(pixels, side)
    scale = small.shape[1] / pixels.shape[1]
    return Picture(small, boxes.reshape(-1, 4) * (scale, scale, scale, 1), whole)


def crop(file: Path, cascade: Path) -> Picture | None:
    """A face crop; None where it is not known where in it the face is."""
    pixels = read_image(file).pixels
    side = pixels.shape[1]
    border = side // 4
    found = by_cascade(cv2.copyMakeBorder(pixels, *[border] * 4, cv2.BORDER_REPLICATE), cascade)
    found = [box for box in found if box.w > 0.4 * side]
    if found:
        box = max(found, key=lambda one: one.w)
        square = [box.x + box.w / 2 - border, box.y + box.h / 2 - border, box.w]
    elif "characters16" in file.parts:
        square = [side * v for v in WHOLE_CROP]
    else:
        return None
    return Picture(pixels, np.array([[*square, 1.0]]))
