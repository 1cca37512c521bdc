"""How near does sketchify come to true sketches of drawings that it has not seen?

    python -m benchmarks.sketchify FOLDER            # a folder of drawings; trains first
    python -m benchmarks.sketchify FOLDER --released # measures the weights of the repository
    python -m benchmarks.sketchify --sheet           # draws faces with them, docs/sketchify.png

Writes the model, its metrics and a sheet of the drawings of the test (binary, ours, true) into
--out; with --release, also the weights into stages/models/sketchify/released.npz. Killed, it goes
on where it stopped. A fifth of the drawings is the test; near-duplicates stay on one side, and the
kinds (what a file's name begins with, up to the first `_`) have their share on each. The table has
a row for each kind of the test.
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
from celflow.manifest import SPLITS, Examples, Split
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
FIRST_KINDS = ("clipart", "illustration", "portrait")
LEARNT, TESTED = 8, 10  # face crops of a character
ROOT = Path(__file__).parents[1]
SHEET = ROOT / "docs/sketchify.png"
FACES = ((0, 1), (1, 3), (2, 6), (3, 4), (6, 7))  # number in the sample's cast, seed of a portrait
SPLIT = SplitConfig(
    test=0.19, val=0.06, max_hamming_distance=8, source="", test_sources=None, held_out_classes=[]
)


def split_of(folder: Path, seed: int) -> dict[Split, Examples]:
    """Train, val and test of a folder of drawings.

    Kinds that came later are split for themselves: what was the test stays the test.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    first = [path for path in paths if kind_of(path) in FIRST_KINDS]
    later = [path for path in paths if kind_of(path) not in FIRST_KINDS]
    parts = [_assigned(some, seed) for some in (first, later) if some]
    found = {split: [path for part in parts for path in part[split]] for split in SPLITS[:3]}
    found["train"] = besides(found["train"], [*found["val"], *found["test"]])
    return {split: examples(chosen) for split, chosen in found.items()}


def kind_of(path: str | Path) -> str:
    """What the drawing is: a file's name up to the first `_`."""
    return Path(path).name.split("_")[0]


def examples(paths: list[str]) -> Examples:
    """Drawings."""
    return Examples(paths, np.zeros(len(paths), int), [DRAWN])


def _assigned(paths: list[Path], seed: int) -> dict[str, list[str]]:
    kinds = np.array([kind_of(path) for path in paths])
    prints = [hashes(path)[0] for path in paths]
    groups = near_duplicate_groups(prints, [None] * len(paths), SPLIT.max_hamming_distance)
    splits = assign(kinds, groups, SPLIT, seed)
    return {
        split: [str(path) for path, where in zip(paths, splits, strict=True) if where == split]
        for split in SPLITS
    }


def faces_of(folders: list[Path]) -> tuple[list[str], list[str]]:
    """Face crops of characters to learn from, and of every fifth one to test on."""
    learnt, tested = [], []
    for folder in folders:
        for place, character in enumerate(sorted(folder.iterdir())):
            if character.is_dir():
                files = sorted(map(str, character.iterdir()))
                if place % 5:
                    learnt += files[:LEARNT]
                else:
                    tested += files[:TESTED]
    return learnt, tested


def besides(paths: list[str], held: list[str]) -> list[str]:
    """Those drawings that are no near-duplicates of `held`."""
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
    true, ours = true_and_ours(predictor, drawings(test), side)
    nearest = []
    for sketch, drawn in zip(true, ours, strict=True):
        ink, wanted = 255.0 - drawn, 255.0 - sketch
        factor = (ink * wanted).sum() / max(1.0, (ink * ink).sum())  # least squares
        nearest.append(np.clip(255 - factor * ink, 0, 255).round().astype(np.uint8))
    return metrics.image_quality(true, np.stack(nearest))


def true_and_ours(
    predictor: ImagePredictor, paths: list[str], side: int
) -> tuple[np.ndarray, np.ndarray]:
    """True sketches of drawings, and ours, both uint8 [N, side, side]."""
    binaries, true = pairs.pairs_of(paths, side)
    return true, np.stack([predictor(np.dstack([one] * 3))[..., 0] for one in binaries])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--more", type=Path, help="another folder of drawings, to learn from alone")
    parser.add_argument(
        "--faces", type=Path, nargs="*", default=[],
        help="folders of characters: four fifths of them to learn from, the others for the test",
    )  # fmt: skip
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
    held = [*splits["val"].paths, *splits["test"].paths]
    more = sorted(str(path) for path in args.more.rglob("*") if path.is_file()) if args.more else []
    learnt, tested = faces_of(args.faces)
    splits["train"] = examples([*splits["train"].paths, *besides([*more, *learnt], held)])
    apart = {kind: [path for path in splits["test"].paths if kind_of(path) == kind]
             for kind in sorted(set(map(kind_of, splits["test"].paths)))}  # fmt: skip
    if tested:
        apart["face crops"] = tested
    counts = {split: len(part) for split, part in splits.items()}
    folder, checkpoint_dir = args.out / "model", args.out / "checkpoints"
    start = time.perf_counter()
    model.fit(splits, folder, checkpoint_dir, lambda *_: None)
    seconds = time.perf_counter() - start
    predictor = model.predictor(folder)
    report = model.measure(predictor, splits)
    by_kind = {
        kind: metrics.image_quality(*true_and_ours(predictor, paths, model.config.image_size))
        for kind, paths in apart.items()
    }
    nearest = darkness_known(predictor, splits["test"], model.config.image_size)
    measured = {**report.metrics, "darkness known": nearest, **by_kind}
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
