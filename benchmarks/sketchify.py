"""How near does sketchify come to true sketches of drawings that it has not seen?

    python -m benchmarks.sketchify FOLDER            # a folder of drawings; trains first
    python -m benchmarks.sketchify FOLDER --released # measures the weights of the repository
    python -m benchmarks.sketchify --sheet           # draws faces with them, docs/sketchify.png

Writes the model, its figures and a sheet of the drawings of the test (binary, ours, true) into
--out; with --release, also the weights into stages/models/released/. Killed, it goes on where it
stopped. A fifth of the drawings is the test; near-duplicates stay on one side, and the kinds (what
a file's name begins with, up to the first `_`) have their share on each.
"""

import argparse
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from celflow import metrics
from celflow.files import write_bytes, write_json
from celflow.images import encode_png
from celflow.manifest import Examples
from celflow.params import Split
from stages.models import Draw, sketches, sketchify, unet, weights
from stages.sample.cast import CAST
from stages.sample.drawings import draw_illustration
from stages.split import deal, fingerprint, near_groups

KNOBS = {
    "image_size": 256, "patch": 128, "width": 12, "epochs": 30, "patience": None, "batch_size": 8,
    "learning_rate": 2e-3, "psnr_weight": 0.3, "edge_weight": 0.5, "ssim_weight": 0.2,
    "init": "none",
}  # fmt: skip
SHEET = Path(__file__).parents[1] / "docs/sketchify.png"
FACES = ((0, 1), (1, 3), (2, 6), (3, 4), (6, 7))  # number in the sample's cast, seed of a portrait
SPLIT = Split(test=0.19, val=0.06, near=8, source="", test_sources=None, hold_back=[])


def parts_of(folder: Path, seed: int) -> dict:
    """Train, val and test of a folder of drawings."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    kinds = np.array([path.name.split("_")[0] for path in paths])
    prints = [fingerprint(path)[0] for path in paths]
    groups = near_groups(prints, [None] * len(paths), SPLIT.near)
    dealt = deal(kinds, groups, SPLIT, seed)
    found = {}
    for part in ("train", "val", "test"):
        chosen = [str(path) for path, where in zip(paths, dealt, strict=True) if where == part]
        found[part] = Examples(chosen, np.zeros(len(chosen), int), [sketchify.DRAWN])
    return found


def besides(folder: Path, held: list[str]) -> list[str]:
    """Drawings of another folder that are no near-duplicates of those held back."""
    paths = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    prints = [fingerprint(Path(path))[0] for path in (*held, *paths)]
    groups = near_groups(prints, [None] * len(prints), SPLIT.near).tolist()
    return [
        path
        for path, group in zip(paths, groups[len(held) :], strict=True)
        if group not in groups[: len(held)]
    ]


def sheet() -> np.ndarray:
    """uint8 [H, W, 3]: a row a face of the sample's cast: drawing, binary, ours, true sketch."""
    network = unet.build(KNOBS["width"])
    weights.load(network, "released", sketchify.NAME)
    rows = []
    for number, seed in FACES:
        drawing = draw_illustration(CAST[number], 256, 307, np.random.default_rng(seed))[:256]
        grey = cv2.cvtColor(drawing, cv2.COLOR_RGB2GRAY)
        ours = sketchify.drawn(tf.constant(drawing), network).numpy()
        others = [np.dstack([one] * 3) for one in (sketches.binarize(grey), sketches.sketch(grey))]
        rows.append(np.hstack([drawing, others[0], ours, others[1]]))
    return np.vstack(rows)


def darkness_known(draw: Draw, test: Examples, side: int) -> dict[str, float]:
    """Figures of ours where each sketch is made as dark or pale as brings it nearest to the truth.

    So much of the error is one number a picture, which the threshold has taken from its lines.
    """
    binaries, true = sketches.pairs(sketchify.drawings(test), side)
    nearest = []
    for binary, sketch in zip(binaries, true, strict=True):
        ink, wanted = (
            255.0 - one for one in (draw(np.dstack([binary] * 3))[..., 0].astype(float), sketch)
        )
        factor = (ink * wanted).sum() / max(1.0, (ink * ink).sum())  # least squares
        nearest.append(np.clip(255 - factor * ink, 0, 255).round().astype(np.uint8))
    return metrics.picture(true, np.stack(nearest))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--more", type=Path, help="another folder of drawings, to learn from alone")
    parser.add_argument("--sheet", action="store_true", help=f"write {SHEET.name} and stop")
    parser.add_argument("--out", type=Path, default=Path("build/sketchify"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--released", action="store_true", help="measure, do not train")
    parser.add_argument("--release", action="store_true", help="keep the weights")
    for name, value in KNOBS.items():
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
    knobs = SimpleNamespace(**{name: getattr(args, name) for name in KNOBS})
    params = SimpleNamespace(seed=args.seed, train=SimpleNamespace(sketchify=knobs))

    splits = parts_of(args.folder, args.seed)
    if args.more:
        more = besides(args.more, [*splits["val"].paths, *splits["test"].paths])
        paths = [*splits["train"].paths, *more]
        splits["train"] = Examples(paths, np.zeros(len(paths), int), [sketchify.DRAWN])
    counts = {part: len(pictures) for part, pictures in splits.items()}
    model, scratch = args.out / "model", args.out / "scratch"
    start = time.perf_counter()
    sketchify.fit(params, splits, model, scratch, lambda *_: None)
    seconds = time.perf_counter() - start
    draw = sketchify.painter(model)
    figures, worst = sketchify.measure(draw, params, splits)
    figures["darkness known"] = darkness_known(draw, splits["test"], knobs.image_size)
    shutil.rmtree(scratch, ignore_errors=True)
    write_json(args.out / "figures.json", {"counts": counts, "seconds": seconds, **figures})
    write_bytes(args.out / "sheet.png", encode_png(worst))
    if args.release:
        network = keras.models.load_model(model / sketchify.MODEL_FILE)
        weights.save(network, weights.RELEASED / "sketchify.npz")

    table = Table("drawn", "L1", "PSNR, dB", "SSIM", "edge F1", title=f"pictures: {counts}")
    for name, row in {"sketchify": figures, **figures}.items():
        if isinstance(row, dict):
            table.add_row(name, f"{row['l1']:.4f}", f"{row['psnr']:.2f}", f"{row['ssim']:.3f}",
                          f"{row['edge_f1']:.3f}")  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
