"""Find the character's face in each picture and cut it out with the one margin rule.

Reads data/clean/characters. Writes data/faces/<name>/*.png, reports/faces.csv (a line a picture,
with its box), reports/facecrop.json (counts) and reports/no_face.csv (what to look at).
Of several faces in a picture the largest is the character's.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from celflow import errors, faces, images, parallel
from celflow.files import atomic_dir, write_bytes, write_json
from celflow.images import encode_png, read_image
from celflow.manifest import images_in
from celflow.params import Params, load
from celflow.picture_cache import Entry, PictureCache
from stages import face_finder
from stages.face_finder import DETECTOR, FindFaces

CLEAN = Path("data/clean/characters")
# Up to so many new pictures are looked at by threads; other processes import TensorFlow first.
FEW = {"auto": 1000, "classic": 50, "none": 50}


@dataclass(frozen=True)
class Cropped:
    """What was found in one picture; `box` is the largest face or none."""

    source: Path
    label: str
    box: faces.Box | None
    faces: int
    key: str


def crop_one(
    item: tuple[Path, str, Path], find: FindFaces | None, on_miss: str, cache: PictureCache
) -> Cropped | None:
    """Write the largest face of a picture, or the whole picture where `on_miss` is "keep".

    item: source file, label, target file. find: None leaves pictures of which nothing is known
    alone, and returns None for them. cache: of what was found before.
    """
    source, label, target = item
    key = cache.key(source.read_bytes())
    entry = cache.get(key)
    if entry is None:
        if find is None:
            return None
        face, found = largest_face(source, find, on_miss)
        box = found[0].as_dict() if found else None
        picture = None if face is None else encode_png(face)
        entry = Entry({"box": box, "faces": len(found)}, picture)
        cache.put(key, entry)
    cache.place(key, entry, target)
    box = entry.known["box"]
    return Cropped(source, label, box and faces.Box(**box), entry.known["faces"], key)


def largest_face(
    source: Path, find: FindFaces, on_miss: str
) -> tuple[np.ndarray | None, list[faces.Box]]:
    """A picture's largest face, uint8 [h, w, 3], and the boxes of all that were found.

    Where none was found, the whole picture stands for it if `on_miss` is "keep", else None.

    Raises:
        BadImage, OSError: as `read_image`.
    """
    cv2.setNumThreads(1)  # one process a core is at work already
    pixels = read_image(source).pixels
    found = find(pixels)
    if found:
        return faces.crop(pixels, found[0]), found
    return (pixels if on_miss == "keep" else None), found


def cache_of(params: Params) -> PictureCache:
    """Of what was found in pictures by the same detector with the same settings."""
    config = params.facecrop
    settings = config.model_dump_json()
    modules = (face_finder, faces, images)
    code = [Path(__file__), *(Path(str(module.__file__)) for module in modules)]
    if config.detector == "auto":
        detector = params.train[DETECTOR]
        settings += json.dumps(detector, sort_keys=True)
        models = Path(__file__).parent / "models"
        code += [models / "common", models / DETECTOR, Path(str(detector.get("init", "")))]
    elif config.cascade:
        code.append(Path(config.cascade))
    return PictureCache.of("facecrop", settings, [path for path in code if path.name])


def run(params: Params) -> None:
    """Cut the faces of all characters."""
    find = face_finder.face_finder(params)
    with atomic_dir(Path("data/faces")) as folder:
        items = [
            (source, label, folder / label / source.name)
            for label, sources in images_in(CLEAN, may_be_empty=True).items()
            for source in sources
        ]
        cache = cache_of(params)
        known = partial(crop_one, find=None, on_miss=params.facecrop.on_miss, cache=cache)
        make = partial(crop_one, find=find, on_miss=params.facecrop.on_miss, cache=cache)
        few = FEW[params.facecrop.detector]
        found = parallel.map_new(
            known if cache.folder.is_dir() else None, make, items, params.data, "facecrop", few
        )
        cache.keep_only(one.key for one in found)
        write_reports(found, looked=params.facecrop.detector != "none")
        kept = {inner.name for inner in folder.iterdir()}
        lost = sorted({one.label for one in found} - kept)
        if lost:
            raise errors.UserError(
                f"no face found in any picture of {', '.join(lost)}: if the pictures are faces "
                "already, set facecrop.on_miss: keep or facecrop.detector: none"
            )
    missed = sum(one.faces == 0 for one in found)
    if params.facecrop.detector == "none":
        print(f"{len(found)} pictures are taken for faces as they are (facecrop.detector: none)")
    elif found:
        print(f"{len(found) - missed} of {len(found)} pictures have a face")
    if missed:
        fate = "are left out" if params.facecrop.on_miss == "drop" else "stand for it whole"
        print(
            f"{missed} of {len(found)} pictures had no face and {fate} (reports/no_face.csv); if "
            "they are face crops already, set facecrop.detector: none"
        )


def write_reports(found: list[Cropped], looked: bool) -> None:
    """Write reports/faces.csv, no_face.csv and facecrop.json.

    looked: whether faces were looked for. Otherwise the boxes are those of whole pictures, and
    nothing is counted.
    """
    table = pd.DataFrame(
        [
            {
                "file": f"{one.label}/{one.source.name}",
                "label": one.label,
                "faces": one.faces if looked else None,
                **(one.box.as_dict() if one.box else {}),
            }
            for one in found
        ],
        columns=["file", "label", "faces", "x", "y", "w", "h"],
    ).astype(dict.fromkeys(["faces", *"xywh"], "Int64"))
    write_bytes(Path("reports/faces.csv"), table.to_csv(index=False).encode())
    missed = table[table["faces"] == 0][["file", "label"]]
    write_bytes(Path("reports/no_face.csv"), missed.to_csv(index=False).encode())
    report: dict[str, float] = {"pictures": len(table)}
    if looked and len(table):
        hits = len(table) - len(missed)
        report |= {
            "with_face": hits,
            "detection_rate": round(hits / len(table), 4),
            "several_faces": int((table["faces"] > 1).sum()),
        }
    write_json(Path("reports/facecrop.json"), report)


if __name__ == "__main__":
    errors.run(lambda: run(load()))
