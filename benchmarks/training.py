"""What does our training cost beside a bare Keras loop, and does its input pipeline keep up?

Trains `xception` and `character_cnn`, as params.yaml has them, on the pictures of `dvc repro
split`: by `network.fit` as the train stage calls it (checkpoints, validation, MLflow, repeatable
to the bit), with and without augmentation, and by one `model.fit` on the same pixels with
validation and nothing else. All ways take turns, because machines are noisy; figures are medians
over the rounds, ratios are of the same round. The first epoch of each fit compiles and does not
count.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from celflow.params import Augment, load

ROUNDS = int(os.environ.get("ROUNDS", "3"))
EPOCHS = int(os.environ.get("EPOCHS", "6"))
MODELS = ("xception", "character_cnn")


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
    """One model's ways of training; each returns images a second."""

    def __init__(self, name: str) -> None:
        from stages import manifest, models
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

    def _rate(self, ends: list[float]) -> float:
        return len(self.pixels) * (len(ends) - 1) / (ends[-1] - ends[0])

    def ours(self, augment: Augment) -> float:
        import mlflow

        from celflow import registry
        from stages.models import network

        knobs = self.knobs.model_copy(update={"augment": augment})
        train = self.params.train.model_copy(update={self.name: knobs})
        params = self.params.model_copy(update={"train": train})
        ends: list[float] = []

        def log(epoch: int, figures: dict[str, float]) -> None:
            mlflow.log_metrics(figures, step=epoch)
            ends.append(time.perf_counter())

        with (
            tempfile.TemporaryDirectory() as scratch,
            registry.run(self.name),
            clocked(network._State, "save") as saving,
        ):
            folder = Path(scratch)
            self.family.fit(params, self.parts, folder / "model", folder / "scratch", log)
        self.saving += saving[1:]
        return self._rate(ends)

    def bare(self) -> float:
        import keras
        from tensorflow.python.framework.config import disable_op_determinism

        disable_op_determinism()
        train, val = self.parts["train"], self.parts["val"]
        classes = len(train.labels)
        model = self.family.build(classes, self.knobs)
        optimizer = keras.optimizers.AdamW(self.knobs.learning_rate)
        loss = "categorical_crossentropy"
        model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
        ends: list[float] = []
        mark = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
        )
        one_hot = np.eye(classes, dtype=np.float32)
        model.fit(
            self.pixels, one_hot[train.truth], self.knobs.batch_size, EPOCHS, verbose=0,
            callbacks=[mark], validation_data=(self.val_pixels, one_hot[val.truth]),
        )  # fmt: skip
        return self._rate(ends)

    def pipeline(self) -> float:
        from stages.models import network

        rates = []
        for epoch in range(5):
            truth, knobs = self.parts["train"].truth, self.knobs
            batches = network.Batches(self.pixels, truth, knobs.batch_size, knobs.augment, 0, epoch)
            start = time.perf_counter()
            with ThreadPoolExecutor(batches.workers) as threads:
                list(threads.map(batches.__getitem__, range(len(batches))))
            rates.append(len(self.pixels) / (time.perf_counter() - start))
        return float(np.median(rates))


def main() -> None:
    table = Table("model", "way", "images/s", "of bare", "range")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
        for name in MODELS:
            model = Model(name)
            ways = {
                "bare Keras": model.bare,
                "ours": lambda model=model: model.ours(Augment()),
                "ours, with augmentation": lambda model=model: model.ours(model.knobs.augment),
                "input pipeline alone": model.pipeline,
            }
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(ROUNDS):
                for way, measure in ways.items():
                    rates[way].append(measure())
                    print(f"{name}, round {turn + 1}, {way}: {rates[way][-1]:.0f}", flush=True)
            for way, measured in rates.items():
                ratios = np.divide(measured, rates["bare Keras"])
                table.add_row(name, way, f"{np.median(measured):.0f}", f"{np.median(ratios):.2f}",
                              f"{ratios.min():.2f} to {ratios.max():.2f}")  # fmt: skip
            saving = 1000 * float(np.median(model.saving))
            table.add_row(name, "a checkpoint", f"{saving:.0f} ms", "", "")
            table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
