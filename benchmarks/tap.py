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
from celflow.params import Params, Tap, Transfer, load
from stages import split
from stages.models import network, transfer

PICTURE = Path(__file__).parents[1] / "docs/tap.png"
TAPS: tuple[str, ...] = get_args(Tap)


def deal(folder: Path, params: Params) -> dict[Split, Examples]:
    """The faces of a folder, dealt out as the split stage does."""
    classes = images_in(folder)
    paths = [path for files in classes.values() for path in files]
    truth = np.repeat(np.arange(len(classes)), [len(files) for files in classes.values()])
    prints = parallel.parallel_map(split.fingerprint, paths, params.data.backend, "hash")
    groups = split.near_groups([value for value, _ in prints], [None] * len(paths), 6)
    dealt = split.deal(truth, groups, params.split, params.seed)
    return {
        part: Examples(
            [str(paths[i]) for i in np.flatnonzero(dealt == part)],
            truth[dealt == part],
            list(classes),
        )
        for part in ("train", "val", "test")
    }


def frozen_accuracy(knobs: Transfer, splits: dict[Split, Examples]) -> float:
    """Test accuracy of our layer on frozen features."""
    features = transfer.trunk(knobs)
    train, val, test = (
        (transfer.frozen_features(features, knobs, splits[part]), splits[part].truth)
        for part in ("train", "val", "test")
    )
    kernel, bias = transfer.probe(train, val)
    return metrics.accuracy(test[1], test[0] @ kernel + bias)


def tuned_accuracy(knobs: Transfer, params: Params, splits: dict[Split, Examples]) -> float:
    """Test accuracy after tuning all of the trunk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        transfer.fit(knobs, params, splits, folder / "model", folder / "scratch", lambda *_: None)
        scores = network.predict(folder / "model", splits["test"].paths)
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
    words = parser.parse_args()
    data = os.environ.get("CELFLOW_REAL_DATA")
    if not data:
        raise errors.UserError("set CELFLOW_REAL_DATA to the folder of real pictures")
    params = load()
    splits = deal(Path(data) / "characters16", params)
    weights = str(Path(data) / "weights/inception_v3_notop.weights.h5")

    def knobs(tap: str) -> Transfer:
        changes = {
            "weights": weights, "tap": tap, "frozen": None, "probe_c": None,
            "image_size": words.side, "epochs": words.epochs, "patience": None,
        }  # fmt: skip
        return params.train.character_inception.model_copy(update=changes)

    frozen = {tap: frozen_accuracy(knobs(tap), splits) for tap in TAPS}
    tuned = {}
    for tap in words.tune.split(","):
        keras.backend.clear_session()
        tuned[tap] = tuned_accuracy(knobs(tap), params, splits)
    table = Table("tap", "frozen", "tuned", title="test accuracy")
    for tap in TAPS:
        table.add_row(tap, f"{frozen[tap]:.3f}", f"{tuned[tap]:.3f}" if tap in tuned else "-")
    Console().print(table)
    counts = ", ".join(f"{len(splits[part])} {part}" for part in ("train", "val", "test"))
    draw(frozen, tuned, f"16 characters, {words.side} px, {words.epochs} epochs ({counts})")


if __name__ == "__main__":
    errors.run(main)
