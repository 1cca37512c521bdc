"""What all Keras classifiers share: read, fit with resume, predict, export."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from celflow import metrics
from celflow.files import atomic_dir, write_json
from celflow.params import Augment, Network, Params
from celflow.manifest import Split, Examples
from stages.models import Log
from stages.models.augment import vary
from stages.models.graph import Classifier, decode, resize, variables

MODEL_FILE = "model.keras"
AHEAD = 4  # batches that are prepared while one is trained on
SAVE_SHARE = 0.03  # of the time goes into saving what a killed fit would need, at most
Change = Callable[[np.ndarray, int, np.random.Generator], tuple[np.ndarray, int]]


def read_pixels(paths: list[str], side: int) -> np.ndarray:
    """uint8 [N, side, side, 3] of picture files, by the same ops as the served graph."""
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(
        lambda path: resize(decode(tf.io.read_file(path)), side),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return np.stack(list(dataset.as_numpy_iterator()))


def fit(
    build: Callable[[int], keras.Model],
    knobs: Network,
    params: Params,
    splits: dict[Split, Examples],
    folder: Path,
    scratch: Path,
    log: Log,
    loss: keras.losses.Loss | None = None,
    change: Change | None = None,
) -> None:
    """Train `build(number of classes)`; save it into `folder`.

    With patience, the epoch of lowest validation loss counts; without, the last one.

    Between epochs all that the next one depends on goes into `scratch`, so that a fit that was
    killed goes on there and ends with the same weights as one that was not.

    loss: of truth, one-hot [N, C], and scores [N, C]; cross-entropy unless told.
    change: as `Batches` takes it; the network may have more classes than there are labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(params.seed)
    tf.config.experimental.enable_op_determinism()
    train, val = splits["train"], splits["val"]
    val_pixels = read_pixels(val.paths, knobs.image_size)

    state = State.load(scratch)
    if state is None:
        network = build(len(train.labels))
        smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=knobs.label_smoothing)
        network.compile(
            optimizer=optimizer(
                knobs.epochs,
                -(-len(train) // knobs.batch_size),
                knobs.learning_rate,
                knobs.weight_decay,
            ),
            loss=loss or smoothed,
            metrics=["accuracy"],
            jit_compile=False,  # XLA compiles for longer than so small a network trains
        )
        state = State(network, [])
    # Here, not where it is made: a saved optimizer forgets it.
    state.network.optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    for epoch, figures in enumerate(state.history):
        log(epoch, figures)
    if knobs.epochs == 0:  # a transfer network is fitted, a little, when it is built
        scores = predict_on(state.network, val_pixels)
        log(0, {"val_loss": metrics.log_loss(val.truth, scores),
                "val_accuracy": metrics.accuracy(val.truth, scores)})  # fmt: skip
        state.network.save(folder / MODEL_FILE)
        return

    pixels = read_pixels(train.paths, knobs.image_size)

    def one_epoch(epoch: int) -> dict[str, float]:
        # Own randomness for each epoch, whatever ran before: a resumed fit sees the same.
        _reseed(state.network, np.random.default_rng([params.seed, epoch]))
        batches = Batches(
            pixels, train.truth, knobs.batch_size, knobs.augment, params.seed, epoch,
            change, state.network.output_shape[-1],
        )  # fmt: skip
        learnt = train_on(state.network, batches)
        scores = predict_on(state.network, val_pixels)
        return {
            "loss": learnt["loss"],
            "accuracy": learnt["accuracy"],
            "val_loss": metrics.log_loss(val.truth, scores),
            "val_accuracy": metrics.accuracy(val.truth, scores),
        }

    run_epochs(state, one_epoch, knobs.epochs, knobs.patience, folder, scratch, log)


def run_epochs(
    state: "State",
    one_epoch: Callable[[int], dict[str, float]],
    epochs: int,
    patience: int | None,
    folder: Path,
    scratch: Path,
    log: Log,
) -> None:
    """Train epoch after epoch, from where `state` is, and save the network into `folder`.

    one_epoch: trains the epoch of this number, and returns its figures, `val_loss` among them.
    patience: epochs without a lower one; then the best epoch counts. None: all, and the last.
    """
    while not state.finished(epochs, patience):
        epoch = len(state.history)
        figures = one_epoch(epoch)
        state.add(figures)
        state.save(scratch)
        log(epoch, figures)
        print(f"epoch {epoch + 1}/{epochs}: " + ", ".join(
            f"{name} {value:.3f}" for name, value in figures.items()), flush=True)  # fmt: skip
    if patience is not None:
        state.network.set_weights(state.best)
    state.network.save(folder / MODEL_FILE)


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


def predict(folder: Path, paths: list[str]) -> np.ndarray:
    """float32 [N, C]: scores of picture files."""
    model = keras.models.load_model(folder / MODEL_FILE)
    return predict_on(model, read_pixels(paths, model.input_shape[1]))


def export(folder: Path, labels: list[str]) -> Classifier:
    """The trained network behind the served graph's door."""
    model = keras.models.load_model(folder / MODEL_FILE)
    side = model.input_shape[1]
    return Classifier(
        labels,
        lambda image: resize(image, side),
        lambda batch: model(batch, training=False),
        variables(model),
    )


class Epoch(Protocol):
    """What a network is trained on once: batches as `train_on_batch` takes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]: ...


def train_on(model: keras.Model, batches: Epoch) -> dict[str, float]:
    """Train on each batch once; mean loss, and mean of the metrics it was compiled with.

    The same as `model.fit`, whose iterator takes a tenth to a third of the time where networks are
    so small.
    """
    done = [
        (len(batch[0]), model.train_on_batch(*batch, return_dict=True)) for batch in ahead(batches)
    ]
    sizes, figures = zip(*done, strict=True)
    return {
        name: float(np.average([one[name] for one in figures], weights=sizes))
        for name in figures[0]
    }


def ahead(batches: Epoch) -> Iterator[tuple[np.ndarray, ...]]:
    """All batches in order, prepared by two threads while others are worked on."""
    waiting: deque[Future[tuple[np.ndarray, ...]]] = deque()
    with ThreadPoolExecutor(2) as threads:
        for index in range(len(batches)):
            waiting.append(threads.submit(batches.__getitem__, index))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class Batches:
    """One epoch of training: varied pixels, one-hot truth and weight, in batches.

    What is drawn at random depends on seed, epoch and picture alone.

    change: of pixels, class and randomness of a picture to those that are learnt instead, before
    they are varied. classes: how many there are then; as many as `truth` has unless told.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        truth: np.ndarray,
        size: int,
        augment: Augment,
        seed: int,
        epoch: int,
        change: Change | None = None,
        classes: int | None = None,
    ) -> None:
        self._pixels = pixels
        self._truth = truth
        self._targets = np.eye(classes or truth.max() + 1, dtype=np.float32)
        self._weights = _class_weights(truth)[truth]
        self._order = np.random.default_rng([seed, epoch]).permutation(len(truth))
        self._size = size
        self._augment = augment
        self._seed = (seed, epoch)
        self._change = change

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        chosen = self._order[index * self._size : (index + 1) * self._size]
        pixels, classes = zip(*(self._varied(i) for i in chosen), strict=True)
        return np.stack(pixels), self._targets[list(classes)], self._weights[chosen]

    def _varied(self, i: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng([*self._seed, i])
        pixels, one = self._pixels[i], self._truth[i]
        if self._change:
            pixels, one = self._change(pixels, one, rng)
        return vary(pixels, self._augment, rng), one


class State:
    """A fit between two epochs: the network with its optimizer, and the figures so far.

    best: weights of the epoch of lowest `val_loss`.
    """

    def __init__(
        self,
        network: keras.Model,
        history: list[dict[str, float]],
        best: list[np.ndarray] | None = None,
    ) -> None:
        self.network = network
        self.history = history
        self.best = best or []
        self._saved = -np.inf  # when, and how long it took
        self._took = 0.0

    @classmethod
    def load(cls, scratch: Path) -> "State | None":
        """What an interrupted fit left; None if there was none."""
        last = scratch / "last"
        if not (last / "history.json").is_file():
            return None
        history = json.loads((last / "history.json").read_text())
        print(f"resumes after epoch {len(history)}")
        with np.load(last / "best.npz") as best:
            return cls(keras.models.load_model(last / MODEL_FILE), history, list(best.values()))

    def add(self, figures: dict[str, float]) -> None:
        """Another epoch is done."""
        self.history.append(figures)
        if self._best_epoch() == len(self.history) - 1:
            self.best = self.network.get_weights()

    def save(self, scratch: Path) -> None:
        """Keep all this in `scratch`, unless it was done so lately that it would cost too much."""
        start = time.monotonic()
        if (start - self._saved) * SAVE_SHARE < self._took:
            return
        with atomic_dir(scratch / "last") as beside:
            self.network.save(beside / MODEL_FILE)
            np.savez(beside / "best.npz", *self.best)
            write_json(beside / "history.json", self.history)
        self._saved = time.monotonic()
        self._took = self._saved - start

    def finished(self, epochs: int, patience: int | None) -> bool:
        """Whether all epochs are done, or the best is `patience` epochs ago."""
        done = len(self.history)
        if done == 0 or patience is None:
            return done >= epochs
        return done >= epochs or done - 1 - self._best_epoch() >= patience

    def _best_epoch(self) -> int:
        return int(np.argmin([figures["val_loss"] for figures in self.history]))


def predict_on(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """float32 [N, ...]: what the model answers to uint8 [N, S, S, 3]."""
    batches = (pixels[i : i + 32] for i in range(0, len(pixels), 32))
    return np.concatenate([model.predict_on_batch(batch) for batch in batches])


def _reseed(model: keras.Model, rng: np.random.Generator) -> None:
    """Seed dropout, whose state Keras does not save."""
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            variable.assign(rng.integers(2**32, size=2, dtype=np.uint32))


def _class_weights(truth: np.ndarray) -> np.ndarray:
    counts = np.bincount(truth)
    return len(truth) / (len(counts) * counts)
