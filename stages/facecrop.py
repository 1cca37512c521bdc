"""Find the character's face in each picture and cut it out with the one margin rule.

Reads data/clean/characters. Writes data/faces/<name>/*.png, reports/faces.csv (a line a picture,
with its box), reports/facecrop.json (counts) and reports/no_face.csv (what to look at).
Of several faces in a picture the largest is the character's.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from celflow import errors, faces, parallel
from celflow.files import atomic_dir, write_bytes, write_json
from celflow.images import encode_png, read_image
from celflow.manifest import images_in
from celflow.params import FacecropConfig, Params, load

CLEAN = Path("data/clean/characters")


@dataclass(frozen=True)
class Cropped:
    """What was found in one picture; `box` is the largest face or none."""

    source: Path
    label: str
    box: faces.Box | None
    faces: int


def crop_one(item: tuple[Path, str, Path], config: FacecropConfig) -> Cropped:
    """Write the largest face of a picture, or the whole picture where the config says so.

    item: source file, label, target file.
    """
    source, label, target = item
    face, found = largest_face(source, config)
    if face is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode_png(face))
    return Cropped(source, label, found[0] if found else None, len(found))


def largest_face(source: Path, config: FacecropConfig) -> tuple[np.ndarray | None, list[faces.Box]]:
    """A picture's largest face, uint8 [h, w, 3], and the boxes of all that were found.

    The whole picture, or None, stands for a face that was not found, as the config says.

    Raises:
        BadImage, OSError: as `read_image`.
    """
    cv2.setNumThreads(1)  # one process a core is at work already
    pixels = read_image(source).pixels
    if config.detector == "none":
        found = [faces.Box(0, 0, pixels.shape[1], pixels.shape[0])]
    else:
        cascade = Path(config.cascade) if config.cascade else None
        found = faces.detect(pixels, cascade, config.detect_side, config.min_face)
    if found:
        return faces.crop(pixels, found[0]), found
    return (pixels if config.on_miss == "keep" else None), found


def run(params: Params) -> None:
    """Cut the faces of all characters."""
    config = params.facecrop
    if config.cascade and not Path(config.cascade).is_file():
        raise errors.UserError(
            f"no cascade at {config.cascade}: see facecrop.cascade in params.yaml"
        )
    with atomic_dir(Path("data/faces")) as folder:
        items = [
            (source, label, folder / label / source.name)
            for label, sources in images_in(CLEAN, may_be_empty=True).items()
            for source in sources
        ]
        work = partial(crop_one, config=config)
        found = parallel.parallel_map(work, items, params.data.backend, "facecrop")
        kept = {inner.name for inner in folder.iterdir()}
        lost = sorted({one.label for one in found} - kept)
        if lost:
            raise errors.UserError(
                f"no face found in any picture of {', '.join(lost)}: if the pictures are faces "
                "already, set facecrop.on_miss: keep or facecrop.detector: none"
            )
    table = pd.DataFrame(
        [
            {
                "file": f"{one.label}/{one.source.name}",
                "label": one.label,
                "faces": one.faces,
                **(one.box.as_dict() if one.box else {}),
            }
            for one in found
        ],
        columns=["file", "label", "faces", "x", "y", "w", "h"],
    ).astype(dict.fromkeys("xywh", "Int64"))
    write_bytes(Path("reports/faces.csv"), table.to_csv(index=False).encode())
    missed = table[table["faces"] == 0][["file", "label"]]
    write_bytes(Path("reports/no_face.csv"), missed.to_csv(index=False).encode())
    hits = len(table) - len(missed)
    report = {
        "pictures": len(table),
        "with_face": hits,
        "detection_rate": round(hits / max(1, len(table)), 4),
        "several_faces": int((table["faces"] > 1).sum()),
    }
    write_json(Path("reports/facecrop.json"), report)
    print(f"{hits} of {len(table)} pictures have a face ({report['detection_rate']:.1%})")


if __name__ == "__main__":
    errors.run(lambda: run(load()))
