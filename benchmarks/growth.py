"""What do ten new pictures cost `clean` and `facecrop`, and what does a second core save?

Pictures are made on the fly: `python benchmarks/growth.py [PICTURES [STAGE ...]]` (600 x 400 px,
JPEG; half photo-like, half drawn by ellipses; the others are faces of two characters, 256 px). Each
row is a process of its own; a project of four pictures tells what start-up is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import yaml
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

ROOT = Path(__file__).parents[1]


def picture(number: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    pixels = cv2.resize(
        rng.integers(0, 256, (5, 7, 3), dtype=np.uint8),
        (width, height),
        interpolation=cv2.INTER_CUBIC,
    )
    if number % 2:
        return cv2.add(pixels, rng.integers(0, 40, pixels.shape, dtype=np.uint8))
    for _ in range(8):
        centre, axes = (tuple(int(v) for v in rng.integers(10, height, 2)) for _ in range(2))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        cv2.ellipse(pixels, centre, axes, 0, 0, 360, colour, -1)
    return pixels


def put(folder: Path, numbers: range) -> None:
    """Half of the pictures into cartoon_or_photo, half into characters."""
    for number in tqdm(numbers, "pictures", leave=False, disable=len(numbers) < 100):
        dataset, classes, size = (
            ("cartoon_or_photo", ("photo", "cartoon"), (400, 600)),
            ("characters", ("aki", "beni"), (256, 256)),
        )[number // 2 % 2]
        place = folder / "raw" / dataset / classes[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{number}.jpg"), picture(number, *size))


def seconds(folder: Path, stage: str, cores: int | None = None) -> float:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=(lambda: os.sched_setaffinity(0, range(cores))) if cores else None,
    )  # fmt: skip
    if process.wait():
        sys.exit(f"stages.{stage} ended with {process.returncode}")
    return time.perf_counter() - start


def project(folder: Path) -> Path:
    folder.mkdir()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"cartoon_or_photo": "raw/cartoon_or_photo", "characters": "raw/characters"}
    params["facecrop"]["on_miss"] = "keep"
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    stages = sys.argv[2:] or ["clean", "facecrop"]
    rows = Table("stage", "all, 1 core", "all, 2 cores", "10 new", "start-up", "10 new of all")
    with tempfile.TemporaryDirectory() as scratch:
        small, large = (project(Path(scratch) / name) for name in ("small", "large"))
        put(small, range(4))
        put(large, range(count))
        for number, stage in enumerate(stages):
            if stage == "facecrop":
                for folder in (small, large):
                    seconds(folder, "clean")
            start = seconds(small, stage)
            one = seconds(large, stage, cores=1)
            shutil.rmtree(large / ".cache/pictures" / stage)
            both = seconds(large, stage)
            put(large, range(count + 10 * number, count + 10 * (number + 1)))
            if stage == "facecrop":
                seconds(large, "clean")
            new = seconds(large, stage)
            share = (new - start) / (both - start)
            rows.add_row(
                stage, f"{one:.1f} s", f"{both:.1f} s ({(one - start) / (both - start):.2f} x)",
                f"{new:.1f} s", f"{start:.1f} s", f"{share:.1%}",
            )  # fmt: skip
    rows.title = f"{count} pictures; shares without start-up"
    Console().print(rows)


if __name__ == "__main__":
    main()
