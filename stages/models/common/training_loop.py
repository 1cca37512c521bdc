"""The fast training loop: a small network's epochs without the costs of `model.fit`.

The iterator of `model.fit` takes a tenth to a third of the time where networks are small
(docs/speed.md). `keras_training.py` has the same by `model.fit`, for larger ones.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import keras
import numpy as np

from celflow.files import atomic_dir, write_json
from stages.models.common import keras_files
from stages.models.common.keras_files import MODEL_FILE
from stages.models.common.model import Log

PREFETCHED = 4  # batches that are prepared while one is trained on
CHECKPOINT_SHARE = 0.03  # of the time goes into checkpoints, at most

Metrics = dict[str, float]


class Batches(Protocol):
    """One epoch's batches as `train_on_batch` takes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]: ...


class TrainingState:
    """A fit between two epochs: the network with its optimizer, and the metrics so far.

    best: weights of `best_epoch`.
    """

    def __init__(
        self,
        network: keras.Model,
        history: list[Metrics] | None = None,
        best: list[np.ndarray] | None = None,
    ) -> None:
        self.network = network
        self.history = history or []
        self.best = best or []
        self._saved = -np.inf  # when, and how long it took
        self._took = 0.0

    @classmethod
    def load(cls, checkpoint_dir: Path) -> "TrainingState | None":
        """What an interrupted fit left; None if there was none."""
        last = checkpoint_dir / "last"
        if not (last / "history.json").is_file():
            return None
        history = json.loads((last / "history.json").read_text())
        print(f"resumes after epoch {len(history)}")
        with np.load(last / "best.npz") as best:
            return cls(keras_files.load(last, compile=True), history, list(best.values()))

    def add(self, metrics: Metrics) -> None:
        """Another epoch is done."""
        self.history.append(metrics)
        if best_epoch(self.history) == len(self.history) - 1:
            self.best = self.network.get_weights()

    def save(self, checkpoint_dir: Path) -> None:
        """Write a checkpoint, unless the last one is so recent that it would cost too much."""
        start = time.monotonic()
        if (start - self._saved) * CHECKPOINT_SHARE < self._took:
            return
        with atomic_dir(checkpoint_dir / "last") as beside:
            self.network.save(beside / MODEL_FILE)
            np.savez(beside / "best.npz", *self.best)
            write_json(beside / "history.json", self.history)
        self._saved = time.monotonic()
        self._took = self._saved - start


def run_epochs(
    state: TrainingState,
    one_epoch: Callable[[int], Metrics],
    epochs: int,
    patience: int | None,
    folder: Path,
    checkpoint_dir: Path | None,
    log: Log,
) -> None:
    """Train epoch after epoch, from where `state` is, and save the network into `folder`.

    one_epoch: trains the epoch of this number, and returns its metrics; `val_loss` among them
        unless there is nothing to validate by.
    patience: epochs without a lower one; then the best epoch counts. None: all, and the last.
    checkpoint_dir: None where another worker writes the checkpoints.
    """
    while not is_finished(state.history, epochs, patience):
        epoch = len(state.history)
        metrics = one_epoch(epoch)
        state.add(metrics)
        if checkpoint_dir:
            state.save(checkpoint_dir)
        log(epoch, metrics)
        print_epoch(epoch, epochs, metrics)
    if patience is not None:
        state.network.set_weights(state.best)
    keras_files.save(state.network, folder / MODEL_FILE)


def best_epoch(history: list[Metrics]) -> int:
    """The epoch of lowest validation loss, the first of several; the last if nothing validates."""
    if "val_loss" not in history[-1]:
        return len(history) - 1
    return int(np.argmin([metrics["val_loss"] for metrics in history]))


def is_finished(history: list[Metrics], epochs: int, patience: int | None) -> bool:
    """Whether all epochs are done, or the best is `patience` epochs ago."""
    done = len(history)
    if done == 0 or patience is None:
        return done >= epochs
    return done >= epochs or done - 1 - best_epoch(history) >= patience


def print_epoch(epoch: int, epochs: int, metrics: Metrics) -> None:
    """A line about an epoch that is done."""
    values = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    print(f"epoch {epoch + 1}/{epochs}: {values}", flush=True)


def train_epoch(model: keras.Model, batches: Batches) -> Metrics:
    """Train on each batch once; mean loss, and mean of the metrics it was compiled with."""
    done = []
    for batch in prefetch(batches):
        model.reset_metrics()  # Keras before 3.13 gives the mean of all batches so far
        done.append((len(batch[0]), model.train_on_batch(*batch, return_dict=True)))
    sizes, metrics = zip(*done, strict=True)
    return {
        name: float(np.average([one[name] for one in metrics], weights=sizes))
        for name in metrics[0]
    }


def prefetch(batches: Batches) -> Iterator[tuple[np.ndarray, ...]]:
    """All batches in order, prepared by two threads while others are worked on."""
    waiting: deque[Future[tuple[np.ndarray, ...]]] = deque()
    with ThreadPoolExecutor(2) as threads:
        for index in range(len(batches)):
            waiting.append(threads.submit(batches.__getitem__, index))
            if len(waiting) > PREFETCHED:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def optimizer(
    epochs: int, steps: int, learning_rate: float, weight_decay: float = 0.0
) -> keras.optimizers.Optimizer:
    """AdamW (Adam where nothing decays): one epoch of warm-up, then a cosine down to 0.

    steps: batches an epoch.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, (epochs - 1) * steps),
        warmup_target=learning_rate,
        warmup_steps=steps,
    )
    return keras.optimizers.AdamW(schedule, weight_decay=weight_decay)


def predict_on(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """float32 [N, ...]: what the model answers to uint8 [N, S, S, 3]."""
    batches = (pixels[i : i + 32] for i in range(0, len(pixels), 32))
    return np.concatenate([model.predict_on_batch(batch) for batch in batches])


def reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Seed dropout for an epoch, whatever ran before: Keras does not save its state."""
    rng = np.random.default_rng([seed, epoch])
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            variable.assign(rng.integers(2**32, size=2, dtype=np.uint32))
