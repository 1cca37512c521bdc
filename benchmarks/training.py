"""What does our training cost beside a bare Keras loop, and does its input pipeline keep up?

Trains `xception` and `character_cnn`, as params.yaml has them, on the pictures of `dvc repro
split`: by the model's `fit` as the train stage calls it (checkpoints, validation, MLflow,
repeatable to the bit), with and without augmentation, and by one `model.fit` of Keras on the same
pixels with validation and nothing else. All ways are interleaved, because machines are noisy; rates
are medians over the rounds, ratios are of the same round; CPU time says more than the clock where
other programs run. The first epoch of each fit compiles and does not count.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import mlflow
import numpy as np
from rich.console import Console
from rich.table import Table
from tensorflow.python.framework.config import disable_op_determinism

from celflow import manifest, registry
from celflow.params import Params, load
from stages.models.common import table, training_loop
from stages.models.common.image_ops import read_pixels
from stages.models.common.training_batches import AugmentedBatches

ROUNDS = int(os.environ.get("ROUNDS", "3"))
EPOCHS = int(os.environ.get("EPOCHS", "12"))
MODELS = ("xception", "character_cnn")
Marks = list[tuple[float, float]]  # clock and CPU seconds at the end of each epoch


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


@contextmanager
def clocked(owner: object, name: str) -> Iterator[list[float]]:
    """The seconds of every call of `owner.name` while the block runs."""
    seconds: list[float] = []
    real = getattr(owner, name)

    def call(*args: object, **options: object) -> object:
        start = time.perf_counter()
        try:
            return real(*args, **options)
        finally:
            seconds.append(time.perf_counter() - start)

    setattr(owner, name, call)
    try:
        yield seconds
    finally:
        setattr(owner, name, real)


def changed(params: Params, name: str, **changes: Any) -> Params:
    """The same with other settings of a model."""
    train = {**params.train, name: {**params.train[name], **changes}}
    return params.model_copy(update={"train": train})


class Contender:
    """One model's ways of training; each returns images a second, and CPU milliseconds an image."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.params = changed(load(), name, epochs=EPOCHS, patience=EPOCHS)
        self.splits = manifest.read(self.params.dataset(name))
        self.model = table.create(name, self.params)
        self.pixels, self.val_pixels = (
            read_pixels(self.splits[split].paths, self.model.config.image_size)
            for split in ("train", "val")
        )
        self.saving: list[float] = []

    def _rates(self, ends: Marks) -> tuple[float, float]:
        images = len(self.pixels) * (len(ends) - 1)
        clock, cpu = np.subtract(ends[-1], ends[0])
        return images / clock, 1000 * cpu / images

    def ours(self, augment: dict[str, Any]) -> tuple[float, float]:
        model = table.create(self.name, changed(self.params, self.name, augment=augment))
        ends: Marks = []

        def log(epoch: int, metrics: Mapping[str, float]) -> None:
            mlflow.log_metrics({**metrics}, step=epoch)
            ends.append(now())

        with (
            tempfile.TemporaryDirectory() as name,
            registry.run(self.name),
            clocked(training_loop.TrainingState, "save") as saving,
        ):
            folder = Path(name)
            model.fit(self.splits, folder / "model", folder / "checkpoints", log)
        self.saving.append(sum(saving[1:]) / (ends[-1][0] - ends[0][0]))
        return self._rates(ends)

    def bare(self) -> tuple[float, float]:
        disable_op_determinism()
        config, train, val = self.model.config, self.splits["train"], self.splits["val"]
        network = self.model.build(self.splits)
        optimizer = keras.optimizers.AdamW(config.learning_rate)
        loss = "categorical_crossentropy"
        network.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
        ends: Marks = []
        mark = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(now()))
        one_hot = np.eye(len(train.labels), dtype=np.float32)
        network.fit(
            self.pixels, one_hot[train.truth], config.batch_size, EPOCHS, verbose=0,
            callbacks=[mark], validation_data=(self.val_pixels, one_hot[val.truth]),
        )  # fmt: skip
        return self._rates(ends)

    def pipeline(self) -> tuple[float, float]:
        truth, config = self.splits["train"].truth, self.model.config
        ends = [now()]
        for epoch in range(5):
            batches = AugmentedBatches(
                self.pixels, truth, config.batch_size, config.augment, 0, epoch
            )
            for _ in training_loop.prefetch(batches):
                pass
            ends.append(now())
        return self._rates(ends)


def main() -> None:
    rows = Table("model", "way", "images/s", "of bare", "range", "CPU ms an image", "of bare")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        for name in MODELS:
            contender = Contender(name)
            ways: dict[str, Callable[[], tuple[float, float]]] = {
                "bare Keras": contender.bare,
                "ours": partial(contender.ours, {}),
                "ours, with augmentation": partial(
                    contender.ours, contender.params.train[name]["augment"]
                ),
                "input pipeline alone": contender.pipeline,
            }
            measured: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for turn in range(ROUNDS):
                for way, measure in ways.items():
                    measured[way].append(measure())
                    rate = measured[way][-1][0]
                    print(f"{name}, round {turn + 1}, {way}: {rate:.0f}", flush=True)
            for way, rates in measured.items():
                rate, cpu = np.median(rates, axis=0)
                ratios = np.divide(rates, measured["bare Keras"])
                low, high = ratios[:, 0].min(), ratios[:, 0].max()
                rows.add_row(name, way, f"{rate:.0f}", f"{np.median(ratios[:, 0]):.2f}",
                              f"{low:.2f} to {high:.2f}", f"{cpu:.2f}",
                              f"{np.median(ratios[:, 1]):.2f}")  # fmt: skip
            shares = [
                f"{100 * share:.1f} %" for share in (min(contender.saving), max(contender.saving))
            ]
            rows.add_row(name, "checkpoints, of our time", "", "", " to ".join(shares))
            rows.add_section()
    Console(width=120).print(rows)


if __name__ == "__main__":
    main()
