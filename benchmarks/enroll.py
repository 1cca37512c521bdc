"""How many faces does it take to enroll a character?

Asks the character_embedding of a trained project that holds characters out
(split.held_out_classes), so that its encoder never saw them. Some faces of each are enrolled and
all others are asked, in ten rounds with other faces; an answer "unknown" is wrong.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from celflow import errors, manifest
from celflow.params import load
from stages.models.character_embedding.gallery import (
    Gallery,  # with it, Keras knows the encoder's layers
)
from stages.models.common import keras_files
from stages.models.common.image_ops import read_pixels
from stages.models.common.training_loop import predict_on

MODEL = "character_embedding"
FACES = (1, 2, 3, 5, 10, 20)
ROUNDS = 10


def encode(encoder: keras.Model, paths: list[str]) -> np.ndarray:
    """float32 [N, D]: unit encodings of picture files."""
    return predict_on(encoder, read_pixels(paths, encoder.input_shape[1]))


def asked(
    gallery: Gallery, new: dict[str, np.ndarray], known: np.ndarray, faces: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The names answered: of the enrolled faces' sisters, whether right; of known faces, which.

    new: encodings [N, D] by name. known: encodings [M, D].
    """
    rng = np.random.default_rng([seed, faces])
    others = {}
    for name, encodings in new.items():
        order = rng.permutation(len(encodings))
        gallery = gallery.adding(name, encodings[order[:faces]])
        others[name] = encodings[order[faces:]]
    names = np.array([*gallery.names, "unknown"])
    right = [
        names[gallery.scores(encodings).argmax(axis=1)] == name
        for name, encodings in others.items()
    ]
    return np.concatenate(right), names[gallery.scores(known).argmax(axis=1)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path(), help="folder (default: this one)")
    os.chdir(parser.parse_args().project)
    splits = manifest.read(load().dataset(MODEL))
    folder = Path("models") / MODEL
    if not len(splits["unknown"]) or not folder.is_dir():
        raise errors.UserError(
            f"no character is held out, or no {folder}: name some in split.held_out_classes "
            f"and run `dvc repro train@{MODEL}`"
        )
    encoder = keras_files.load(folder)
    encodings = encode(encoder, splits["unknown"].paths)
    owners = np.array([Path(path).parent.name for path in splits["unknown"].paths])
    new = {name: encodings[owners == name] for name in sorted(set(owners))}
    test = splits["test"]
    known = encode(encoder, test.paths)
    truth = np.array(test.labels)[test.truth]

    title = f"{len(new)} characters enrolled beside {len(test.labels)}, mean of {ROUNDS} rounds"
    table = Table("faces enrolled", "enrolled ones right", "those learnt right", title=title)
    for faces in FACES:
        rounds = [asked(Gallery.read(folder), new, known, faces, seed) for seed in range(ROUNDS)]
        right = np.mean([enrolled.mean() for enrolled, _ in rounds])
        still = np.mean([(answers == truth).mean() for _, answers in rounds])
        table.add_row(str(faces), f"{right:.3f}", f"{still:.3f}")
    Console().print(table)


if __name__ == "__main__":
    errors.run(main)
