"""What does our training cost beside a bare Keras loop, and does its input pipeline keep up?

Trains `xception` and `character_cnn`, as params.yaml has them, on the pictures of `dvc repro
split`: by `network.fit` as the train stage calls it (checkpoints, validation, MLflow, repeatable
to the bit), with and without augmentation, and by one `model.fit` on the same pixels with
validation and nothing else. All ways take turns, because machines are noisy; figures are medians
over the rounds, ratios are of the same round; CPU time says more than the clock where other
programs run. The first epoch of each fit compiles and does not count.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from celflow.params import Augment, load

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


class Model:
    """One model's ways of training; each returns images a second, and CPU milliseconds an image."""

    def __init__(self, name: str) -> None:
        from celflow import manifest
from stages import models
        from stages.models import network

        self.name = name
        self.params = load()
        self.parts = manifest.read(self.params.task(name))
        self.family = models.family(name)
        published = getattr(self.params.train, name)
        self.knobs = published.model_copy(update={"epochs": EPOCHS, "patience": EPOCHS})
        train, val = self.parts["train"], self.parts["val"]
        self.pixels, self.val_pixels = (
            network.read_pixels(part.paths, self.knobs.image_size) for part in (train, val)
        )
        self.saving: list[float] = []

    def _rates(self, ends: Marks) -> tuple[float, float]:
        images = len(self.pixels) * (len(ends) - 1)
        clock, cpu = np.subtract(ends[-1], ends[0])
        return images / clock, 1000 * cpu / images

    def ours(self, augment: Augment) -> tuple[float, float]:
        import mlflow

        from celflow import registry
        from stages.models import network

        knobs = self.knobs.model_copy(update={"augment": augment})
        train = self.params.train.model_copy(update={self.name: knobs})
        params = self.params.model_copy(update={"train": train})
        ends: Marks = []

        def log(epoch: int, figures: dict[str, float]) -> None:
            mlflow.log_metrics(figures, step=epoch)
            ends.append(now())

        with (
            tempfile.TemporaryDirectory() as scratch,
            registry.run(self.name),
            clocked(network.State, "save") as saving,
        ):
            folder = Path(scratch)
            self.family.fit(params, self.parts, folder / "model", folder / "scratch", log)
        self.saving.append(sum(saving[1:]) / (ends[-1][0] - ends[0][0]))
        return self._rates(ends)

    def bare(self) -> tuple[float, float]:
        import keras
        from tensorflow.python.framework.config import disable_op_determinism

        disable_op_determinism()
        train, val = self.parts["train"], self.parts["val"]
        classes = len(train.labels)
        model = self.family.build(classes, self.knobs)
        optimizer = keras.optimizers.AdamW(self.knobs.learning_rate)
        loss = "categorical_crossentropy"
        model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
        ends: Marks = []
        mark = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(now()))
        one_hot = np.eye(classes, dtype=np.float32)
        model.fit(
            self.pixels, one_hot[train.truth], self.knobs.batch_size, EPOCHS, verbose=0,
            callbacks=[mark], validation_data=(self.val_pixels, one_hot[val.truth]),
        )  # fmt: skip
        return self._rates(ends)

    def pipeline(self) -> tuple[float, float]:
        from stages.models import network

        truth, knobs = self.parts["train"].truth, self.knobs
        ends = [now()]
        for epoch in range(5):
            batches = network.Batches(self.pixels, truth, knobs.batch_size, knobs.augment, 0, epoch)
            for _ in network.ahead(batches):
                pass
            ends.append(now())
        return self._rates(ends)


def main() -> None:
    table = Table("model", "way", "images/s", "of bare", "range", "CPU ms an image", "of bare")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
        for name in MODELS:
            model = Model(name)
            ways: dict[str, Callable[[], tuple[float, float]]] = {
                "bare Keras": model.bare,
                "ours": partial(model.ours, Augment()),
                "ours, with augmentation": partial(model.ours, model.knobs.augment),
                "input pipeline alone": model.pipeline,
            }
            measured: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for turn in range(ROUNDS):
                for way, measure in ways.items():
                    measured[way].append(measure())
                    rate = measured[way][-1][0]
                    print(f"{name}, round {turn + 1}, {way}: {rate:.0f}", flush=True)
            for way, figures in measured.items():
                rate, cpu = np.median(figures, axis=0)
                ratios = np.divide(figures, measured["bare Keras"])
                low, high = ratios[:, 0].min(), ratios[:, 0].max()
                table.add_row(name, way, f"{rate:.0f}", f"{np.median(ratios[:, 0]):.2f}",
                              f"{low:.2f} to {high:.2f}", f"{cpu:.2f}",
                              f"{np.median(ratios[:, 1]):.2f}")  # fmt: skip
            shares = [f"{100 * share:.1f} %" for share in (min(model.saving), max(model.saving))]
            table.add_row(name, "checkpoints, of our time", "", "", " to ".join(shares))
            table.add_section()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
