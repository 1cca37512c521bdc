"""A classifier that trains in seconds, by either trainer, and can be killed on the way.

`python -m tests.stages.toy_classifier FOLDER TRAINER PATIENCE KILL` fits it in a process of its
own, which kills itself (SIGKILL) where KILL says: see `KILLS`.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import yaml
from keras import layers

from celflow.manifest import Examples
from celflow.params import Params
from stages.models.common import training_loop
from stages.models.common.config import NetworkConfig
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.model import Splits
from stages.models.common.training_batches import Relabel

from .conftest import ROOT, flat_drawing, grainy_photo

EPOCHS = 7
SEEN = 20  # examples of train
CONFIG = {
    "image_size": 32, "epochs": EPOCHS, "batch_size": 8, "learning_rate": 0.03,
    "weight_decay": 0.01, "label_smoothing": 0.05, "dropout": 0.3,
    "augment": {"flip": True, "rotation": 0.1, "brightness": 0.2, "jpeg": 0.3, "erase": 0.2},
}  # fmt: skip
KILLS = {  # where a fit is killed
    "logged": "after the third epoch was logged",
    "epoch": "in the middle of an epoch, the third or (`model_fit` reads ahead) the second",
    "saving": "when the third checkpoint is written by half",
    "saved": "just after the weights of the third checkpoint were written",
}


class Toy(KerasClassifier[NetworkConfig]):
    """A convolution, batch normalisation, dropout and a softmax."""

    config_class = NetworkConfig
    tasks = ("cartoon_or_photo",)
    at_example: Callable[[], None] = staticmethod(lambda: None)  # is called for every example

    def build(self, splits: Splits) -> keras.Model:
        """Pixels [N, 32, 32, 3] to probabilities [N, 2]."""
        inputs = keras.Input((32, 32, 3))
        x = layers.Conv2D(8, 4, strides=4)(layers.Rescaling(1 / 255)(inputs))
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Dropout(self.config.dropout)(layers.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))

    def relabel(self, labels: list[str]) -> Relabel:
        """Every example as it is."""

        def same(
            pixels: np.ndarray, label: int, rng: np.random.Generator
        ) -> tuple[np.ndarray, int]:
            self.at_example()
            return pixels, label

        return same


def toy(trainer: str, patience: int | None) -> Toy:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    task = {"task": "cartoon_or_photo", "dataset": "cartoon_or_photo", "code": "none"}
    content["models"]["toy"] = task
    content["train"]["toy"] = {**CONFIG, "trainer": trainer, "patience": patience}
    return Toy("toy", Params.model_validate(content))


def splits(folder: Path) -> Splits:
    """Drawings and photos, hard to tell apart in val so that its loss goes up and down."""
    found = {}
    for split, count in (("train", SEEN), ("val", 8)):
        paths = [folder / f"{split}{i}.png" for i in range(count)]
        for i, path in enumerate(paths):
            seed = i + 50 * (split == "val")
            (flat_drawing(seed) if i % 2 else grainy_photo(seed)).save(path)
        truth = np.arange(count) % 2
        if split == "val":
            truth[-3:] = 1 - truth[-3:]
        found[split] = Examples([str(path) for path in paths], truth, ["photo", "cartoon"])
    return found


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_while_saving(before_it_is_whole: bool) -> None:
    """Kill this process at the third checkpoint, however Keras is asked to write it."""
    count = 0

    def killing(write: Callable[..., None]) -> Callable[..., None]:
        def call(model: keras.Model, filepath: Path | str, *args: Any, **options: Any) -> None:
            nonlocal count
            write(model, filepath, *args, **options)
            count += "best" not in str(filepath)
            if count == 3:
                if before_it_is_whole:
                    os.truncate(filepath, Path(filepath).stat().st_size // 2)
                kill()

        return call

    for name in ("save", "save_weights"):
        setattr(keras.Model, name, killing(getattr(keras.Model, name)))


def main() -> None:
    folder, trainer, patience, where = sys.argv[1:]
    model = toy(trainer, None if patience == "None" else int(patience))
    examples = 0

    def at_example() -> None:
        nonlocal examples
        examples += 1
        if where == "epoch" and examples == 2 * SEEN + SEEN // 2:
            kill()

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        if where == "logged" and epoch == 2:
            kill()

    training_loop.CHECKPOINT_SHARE = 1e9  # a checkpoint after every epoch, short as they are
    if where in ("saving", "saved"):
        _kill_while_saving(before_it_is_whole=where == "saving")
    model.at_example = at_example
    data, fitted, checkpoints = (Path(folder) / name for name in ("data", "fit", "checkpoints"))
    model.fit(splits(data), fitted, checkpoints, log)
    print("was not killed")


if __name__ == "__main__":
    main()
