"""Which layer of Inception-v3 should be tapped? Writes docs/tap.png and prints its table.

Two ways at every tap, on the faces of CELFLOW_REAL_DATA/characters16: our layer alone on frozen
features, and (at some taps) the trunk tuned too. A fifth of the faces, near-duplicates kept
together, is for the test.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import get_args

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from celflow import errors, metrics, parallel
from celflow.manifest import Examples, Split, images_in
from celflow.params import Params, load
from stages.models.common import table
from stages.models.inception import transfer
from stages.models.inception.transfer import TransferConfig
from stages.split import assign, hashes, near_duplicate_groups

PICTURE = Path(__file__).parents[1] / "docs/tap.png"
TAPS: tuple[str, ...] = get_args(transfer.Tap)
MODEL = "character_inception"
MAX_HAMMING_DISTANCE = 6


def split_of(folder: Path, params: Params) -> dict[Split, Examples]:
    """The faces of a folder, assigned as the split stage does."""
    classes = images_in(folder)
    paths = [path for files in classes.values() for path in files]
    truth = np.repeat(np.arange(len(classes)), [len(files) for files in classes.values()])
    prints = parallel.parallel_map(hashes, paths, params.data, "hash")
    groups = near_duplicate_groups(
        [value for value, _ in prints], [None] * len(paths), MAX_HAMMING_DISTANCE
    )
    assigned = assign(truth, groups, params.split, params.seed)
    return {
        split: Examples(
            [str(paths[i]) for i in np.flatnonzero(assigned == split)],
            truth[assigned == split],
            list(classes),
        )
        for split in ("train", "val", "test")
    }


def frozen_accuracy(config: TransferConfig, splits: dict[Split, Examples]) -> float:
    """Test accuracy of our layer on frozen features."""
    features = transfer.trunk(config)
    train, val, test = (
        (transfer.frozen_features(features, config, splits[split]), splits[split].truth)
        for split in ("train", "val", "test")
    )
    kernel, bias = transfer.probe(train, val)
    return metrics.accuracy(test[1], test[0] @ kernel + bias)


def tuned_accuracy(params: Params, splits: dict[Split, Examples]) -> float:
    """Test accuracy after tuning all of the trunk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = table.create(MODEL, params)
        model.fit(splits, folder / "model", folder / "checkpoints", lambda *_: None)
        scores = model.predict(folder / "model", splits["test"].paths)
    return metrics.accuracy(splits["test"].truth, scores)


def draw(frozen: dict[str, float], tuned: dict[str, float], title: str) -> None:
    """Write the picture."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(list(frozen), list(frozen.values()), "o-", label="our layer on frozen features")
    axes.plot(list(tuned), list(tuned.values()), "s--", label="the trunk tuned, too")
    axes.set(ylabel="test accuracy", ylim=(0, 1), title=title)
    axes.tick_params(axis="x", rotation=45)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(PICTURE, dpi=90, metadata={"Software": None})


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=96, help="px (default: 96)")
    parser.add_argument("--epochs", type=int, default=6, help="of tuning (default: 6)")
    parser.add_argument("--tune", default="mixed2,mixed5,mixed7,mixed10", help="taps to tune")
    args = parser.parse_args()
    data = os.environ.get("CELFLOW_REAL_DATA")
    if not data:
        raise errors.UserError("set CELFLOW_REAL_DATA to the folder of real pictures")
    params = load()
    splits = split_of(Path(data) / "characters16", params)
    weights = str(Path(data) / "weights/inception_v3_notop.weights.h5")

    def tapped(tap: str) -> Params:
        changes = {
            "weights": weights, "tap": tap, "frozen": None, "probe_c": None,
            "image_size": args.side, "epochs": args.epochs, "patience": None,
        }  # fmt: skip
        train = {**params.train, MODEL: {**params.train[MODEL], **changes}}
        return params.model_copy(update={"train": train})

    frozen = {
        tap: frozen_accuracy(tapped(tap).model_config_of(MODEL, TransferConfig), splits)
        for tap in TAPS
    }
    tuned = {}
    for tap in args.tune.split(","):
        keras.backend.clear_session()
        tuned[tap] = tuned_accuracy(tapped(tap), splits)
    rows = Table("tap", "frozen", "tuned", title="test accuracy")
    for tap in TAPS:
        rows.add_row(tap, f"{frozen[tap]:.3f}", f"{tuned[tap]:.3f}" if tap in tuned else "-")
    Console().print(rows)
    counts = ", ".join(f"{len(splits[split])} {split}" for split in ("train", "val", "test"))
    draw(frozen, tuned, f"16 characters, {args.side} px, {args.epochs} epochs ({counts})")


if __name__ == "__main__":
    errors.run(main)
