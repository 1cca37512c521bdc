"""How many faces does each detector find in whole illustrations, and how long does it take?

Without CELFLOW_REAL_DATA it looks at the built-in sample (`dvc repro sample`) with animeface alone;
with it at `characters3` (107 + 21 illustrations) with the cascade, animeface and both; and with the
project's own detector. All it counts is pictures with a box: benchmarks/released/face_detector.py
and the detector's card say how many boxes are right.
"""

import os
import sys
import time
from pathlib import Path

import cv2
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from celflow import faces, params
from celflow.images import BadImage, read_image
from stages.face_finder import face_finder


def pictures(folders: list[Path]) -> list:
    """uint8 [H, W, 3] of every picture below the folders."""
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob("*.*")):
        try:
            found.append(read_image(path).pixels)
        except BadImage:
            continue
    return found


def main() -> None:
    cv2.setNumThreads(1)
    real = os.environ.get("CELFLOW_REAL_DATA")
    if real:
        cascade = Path(real) / "lbpcascade_animeface.xml"
        images = pictures([Path(real) / "characters3"])
        ways = {
            "LBP cascade": lambda image: faces.by_cascade(image, cascade),
            "animeface": faces.by_animeface,
            "animeface, shrunk to 640 px": faces.detect,
            "both, shrunk to 640 px": lambda image: faces.detect(image, cascade),
            "both": lambda image: faces.detect(image, cascade, detect_side=10_000),
        }
    else:
        images = pictures([Path("data/sample/characters")])
        ways = {"animeface": faces.by_animeface, "animeface, shrunk to 640 px": faces.detect}
    ways["face_detector"] = face_finder(params.load())
    if not images:
        sys.exit("no pictures: run `dvc repro sample` or set CELFLOW_REAL_DATA")

    table = Table("detector", "found", "share", "ms an image", "of the slowest")
    rows = []
    for name, detect in ways.items():
        start = time.perf_counter()
        hits = sum(bool(detect(image)) for image in tqdm(images, name, disable=None))
        rows.append((name, hits, (time.perf_counter() - start) / len(images) * 1000))
    slowest = max(ms for *_, ms in rows)
    for name, hits, ms in rows:
        table.add_row(name, f"{hits} of {len(images)}", f"{hits / len(images):.1%}", f"{ms:.0f}",
                      f"{ms / slowest:.2f}")  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
