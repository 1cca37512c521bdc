"""How near does sketchify come to true sketches of drawings that it has not seen?

    python -m benchmarks.sketchify FOLDER            # a folder of drawings; trains first
    python -m benchmarks.sketchify FOLDER --released # measures the weights of the repository
    python -m benchmarks.sketchify --sheet           # draws faces with them, docs/sketchify.png

Writes the model, its metrics and a sheet of the drawings of the test (binary, ours, true) into
--out; with --release, also the weights into stages/models/sketchify/released.npz. Killed, it goes
on where it stopped. A fifth of the drawings is the test; near-duplicates stay on one side, and the
kinds (what a file's name begins with, up to the first `_`) have their share on each.
"""

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from celflow import errors, metrics
from celflow.files import write_bytes, write_json
from celflow.images import encode_png
from celflow.manifest import Examples, Split
from celflow.params import SplitConfig, load
from stages.models.common import keras_files, released_weights
from stages.models.common.model import ImagePredictor
from stages.models.common.served_image_model import image_predictor
from stages.models.sketchify import pairs, unet
from stages.models.sketchify.graph import sketch_of
from stages.models.sketchify.sketchify import DRAWN, RELEASED, Sketchify, drawings
from stages.sample.cast import CAST
from stages.sample.drawings import draw_illustration
from stages.split import assign, hashes, near_duplicate_groups

MODEL = "sketchify"
CONFIG: dict[str, Any] = {
    "image_size": 256, "patch": 128, "width": 12, "epochs": 30, "patience": None, "batch_size": 8,
    "learning_rate": 2e-3, "psnr_weight": 0.3, "edge_weight": 0.5, "ssim_weight": 0.2,
    "init": "none",
}  # fmt: skip
ROOT = Path(__file__).parents[1]
SHEET = ROOT / "docs/sketchify.png"
FACES = ((0, 1), (1, 3), (2, 6), (3, 4), (6, 7))  # number in the sample's cast, seed of a portrait
SPLIT = SplitConfig(
    test=0.19, val=0.06, max_hamming_distance=8, source="", test_sources=None, held_out_classes=[]
)


def split_of(folder: Path, seed: int) -> dict[Split, Examples]:
    """Train, val and test of a folder of drawings."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    kinds = np.array([path.name.split("_")[0] for path in paths])
    prints = [hashes(path)[0] for path in paths]
    groups = near_duplicate_groups(prints, [None] * len(paths), SPLIT.max_hamming_distance)
    assigned = assign(kinds, groups, SPLIT, seed)
    names: tuple[Split, ...] = ("train", "val", "test")
    splits = {}
    for split in names:
        chosen = [str(path) for path, where in zip(paths, assigned, strict=True) if where == split]
        splits[split] = Examples(chosen, np.zeros(len(chosen), int), [DRAWN])
    return splits


def besides(folder: Path, held: list[str]) -> list[str]:
    """Drawings of another folder that are no near-duplicates of `held`."""
    paths = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    prints = [hashes(Path(path))[0] for path in (*held, *paths)]
    sources = [None] * len(prints)
    groups = near_duplicate_groups(prints, sources, SPLIT.max_hamming_distance).tolist()
    return [
        path
        for path, group in zip(paths, groups[len(held) :], strict=True)
        if group not in groups[: len(held)]
    ]


def released() -> ImagePredictor:
    """The sketchify of the weights in this repository."""
    network = unet.build(CONFIG["width"])
    released_weights.load(network, "released", RELEASED, "init")
    return image_predictor(lambda image: sketch_of(image, network))


def sheet() -> np.ndarray:
    """uint8 [H, W, 3]: a row a face of the sample's cast: drawing, binary, ours, true sketch."""
    draw = released()
    rows = []
    for number, seed in FACES:
        drawing = draw_illustration(CAST[number], 256, 307, np.random.default_rng(seed))[:256]
        grey = cv2.cvtColor(drawing, cv2.COLOR_RGB2GRAY)
        ours = draw(drawing)
        others = [np.dstack([one] * 3) for one in (pairs.binarize(grey), pairs.sketch(grey))]
        rows.append(np.hstack([drawing, others[0], ours, others[1]]))
    return np.vstack(rows)


def darkness_known(predictor: ImagePredictor, test: Examples, side: int) -> dict[str, float]:
    """Metrics of ours where each sketch is made as dark or pale as brings it nearest to the truth.

    So much of the error is one number a picture, which the threshold has taken from its lines.
    """
    binaries, true = pairs.pairs_of(drawings(test), side)
    nearest = []
    for binary, sketch in zip(binaries, true, strict=True):
        ink, wanted = (
            255.0 - one
            for one in (predictor(np.dstack([binary] * 3))[..., 0].astype(float), sketch)
        )
        factor = (ink * wanted).sum() / max(1.0, (ink * ink).sum())  # least squares
        nearest.append(np.clip(255 - factor * ink, 0, 255).round().astype(np.uint8))
    return metrics.image_quality(true, np.stack(nearest))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--more", type=Path, help="another folder of drawings, to learn from alone")
    parser.add_argument("--sheet", action="store_true", help=f"write {SHEET.name} and stop")
    parser.add_argument("--out", type=Path, default=Path("build/sketchify"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--released", action="store_true", help="measure, do not train")
    parser.add_argument("--release", action="store_true", help="keep the weights")
    for name, value in CONFIG.items():
        kind = int if value is None else type(value)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value)
    args = parser.parse_args()
    if args.sheet:
        write_bytes(SHEET, encode_png(sheet()))
        return
    if args.folder is None:
        parser.error("name a folder of drawings, or --sheet")
    if args.released:
        args.init, args.epochs = "released", 0
    params = load(ROOT / "params.yaml")
    train = {**params.train, MODEL: {name: getattr(args, name) for name in CONFIG}}
    model = Sketchify(MODEL, params.model_copy(update={"seed": args.seed, "train": train}))

    splits = split_of(args.folder, args.seed)
    if args.more:
        more = besides(args.more, [*splits["val"].paths, *splits["test"].paths])
        paths = [*splits["train"].paths, *more]
        splits["train"] = Examples(paths, np.zeros(len(paths), int), [DRAWN])
    counts = {split: len(examples) for split, examples in splits.items()}
    folder, checkpoint_dir = args.out / "model", args.out / "checkpoints"
    start = time.perf_counter()
    model.fit(splits, folder, checkpoint_dir, lambda *_: None)
    seconds = time.perf_counter() - start
    predictor = model.predictor(folder)
    report = model.measure(predictor, splits)
    nearest = darkness_known(predictor, splits["test"], model.config.image_size)
    measured = {**report.metrics, "darkness known": nearest}
    shutil.rmtree(checkpoint_dir, ignore_errors=True)
    write_json(args.out / "metrics.json", {"counts": counts, "seconds": seconds, **measured})
    write_bytes(args.out / "sheet.png", report.draw()["sheet"])
    if args.release:
        released_weights.save(keras_files.load(folder), RELEASED)

    table = Table("drawn", "L1", "PSNR, dB", "SSIM", "edge F1", title=f"pictures: {counts}")
    for name, row in {MODEL: measured, **measured}.items():
        if isinstance(row, dict):
            table.add_row(name, f"{row['l1']:.4f}", f"{row['psnr']:.2f}", f"{row['ssim']:.3f}",
                          f"{row['edge_f1']:.3f}")  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    errors.run(main)
