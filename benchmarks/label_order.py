"""How many labels does the Label page's order save beside a random one?

    python -m benchmarks.label_order FOLDER                       # a folder a character, of faces
    python -m benchmarks.label_order FOLDER --inception WEIGHTS   # general features instead

A quarter of the faces is the test. Of the others some get labels, in either order, and a face of
the test counts as right if the nearest mean encoding of a character is its own. Run in a project
whose character_embedding is trained: its encoder serves the page. Its released weights may know
the characters (stages/models/character_embedding/card.md), which makes it easy for both orders;
Inception's features at `mixed5` know nobody.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from celflow import errors
from dashboard.label_order import LabelOrder
from stages.models.character_embedding.gallery import mean_directions
from stages.models.common import keras_files
from stages.models.common.image_ops import read_pixels
from stages.models.common.training_loop import predict_on

LABELS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
ROUNDS = 10
SIDE = 150  # px, of Inception's input


def by_encoder(paths: list[str]) -> np.ndarray:
    """float32 [N, D]: unit encodings by the project's encoder."""
    encoder = keras_files.load(Path("models/character_embedding"))
    return predict_on(encoder, read_pixels(paths, encoder.input_shape[1]))


def by_inception(paths: list[str], weights: Path) -> np.ndarray:
    """float32 [N, D]: Inception's means at mixed5, whitened by feature, of unit length."""
    base = keras.applications.InceptionV3(
        weights=str(weights), include_top=False, input_shape=(SIDE, SIDE, 3)
    )
    pooled = keras.layers.GlobalAveragePooling2D()(base.get_layer("mixed5").output)
    network = keras.Model(base.input, pooled)
    found = predict_on(network, read_pixels(paths, SIDE) / 127.5 - 1)
    found = (found - found.mean(axis=0)) / (found.std(axis=0) + 1e-6)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def accuracy(
    encodings: np.ndarray, truth: np.ndarray, labelled: np.ndarray, test: np.ndarray
) -> float:
    """Share of the test that is nearest to its own character's mean of labelled faces."""
    known, places = np.unique(truth[labelled], return_inverse=True)
    means = mean_directions(encodings[labelled], places)
    return float((known[(encodings[test] @ means.T).argmax(axis=1)] == truth[test]).mean())


def one_round(encodings: np.ndarray, truth: np.ndarray, seed: int) -> tuple[list[float], ...]:
    """Accuracy after each number of `LABELS`: in a random order, and in the page's."""
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    test, pool = np.split(shuffled, [len(truth) // 4])
    order = LabelOrder(encodings[pool], np.ones(len(pool)))  # a model that knows none of them
    chosen = []
    for _ in range(LABELS[-1]):
        chosen.append(order.next())
        order.done(chosen[-1])
    return tuple(
        [accuracy(encodings, truth, faces[:count], test) for count in LABELS]
        for faces in (pool, pool[chosen])
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inception", type=Path, help="file of Inception-v3's weights without top")
    options = parser.parse_args()
    files = sorted(path for path in options.folder.glob("*/*") if path.is_file())
    names, truth = np.unique([file.parent.name for file in files], return_inverse=True)
    paths = [str(file) for file in files]
    encodings = by_inception(paths, options.inception) if options.inception else by_encoder(paths)
    rounds = [one_round(encodings, truth, seed) for seed in range(ROUNDS)]
    by_chance, ours = np.mean(rounds, axis=0)
    title = f"{len(names)} characters, {len(files)} faces, mean of {ROUNDS} rounds"
    table = Table(
        "labels", "random order", "the page's", "labels it needs for the same", title=title
    )
    for count, random, better in zip(LABELS, by_chance, ours, strict=True):
        needed = next(n for n, found in zip(LABELS, ours, strict=True) if found >= random)
        table.add_row(
            str(count), f"{random:.3f}", f"{better:.3f}", f"{needed} ({needed / count:.2f})"
        )
    Console().print(table)


if __name__ == "__main__":
    errors.run(main)
