"""What all Keras classifiers share: read, fit with resume, predict, export."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it calls harmless things errors

import keras
import numpy as np
import tensorflow as tf

from celflow import metrics
from celflow.files import replacing, write_json
from celflow.params import CharacterCnn, Params, Xception
from stages.manifest import Part, Pictures
from stages.models import Log
from stages.models.graph import Classifier, decode, resize

MODEL_FILE = "model.keras"


def read_pixels(paths: list[str], side: int) -> np.ndarray:
    """uint8 [N, side, side, 3] of picture files, by the same ops as the served graph."""
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(
        lambda path: resize(decode(tf.io.read_file(path)), side),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return np.stack(list(dataset.as_numpy_iterator()))


def fit(
    build: Callable[[int], keras.Model],
    augment: list[keras.Layer],
    knobs: Xception | CharacterCnn,
    params: Params,
    parts: dict[Part, Pictures],
    folder: Path,
    scratch: Path,
    log: Log,
) -> None:
    """Train `build(number of classes)` behind `augment`; save the epoch of lowest validation loss.

    After every epoch all that the next one depends on goes into `scratch`, so that a fit that was
    killed goes on there and ends with the same weights as one that was not.
    """
    keras.utils.set_random_seed(params.seed)
    tf.config.experimental.enable_op_determinism()
    train, val = parts["train"], parts["val"]
    pixels, val_pixels = (read_pixels(p.paths, knobs.image_size) for p in (train, val))
    weights = _class_weights(train.truth)

    state = _State.load(scratch)
    if state is None:
        steps = knobs.epochs * -(-len(train) // knobs.batch_size)
        # Augmentation stays outside of the network, so that no trace of it is exported.
        trained = keras.Sequential([*augment, build(len(train.labels))])
        trained.compile(
            optimizer=keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(knobs.learning_rate, steps)
            ),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,  # XLA compiles for longer than so small a network trains
        )
        state = _State(trained, [])
    for epoch, figures in enumerate(state.history):
        log(epoch, figures)

    while not state.finished(knobs.epochs, knobs.patience):
        epoch = len(state.history)
        # Own randomness for each epoch, whatever ran before: a resumed fit sees the same.
        rng = np.random.default_rng([params.seed, epoch])
        order = rng.permutation(len(train))
        _reseed(state.trained, rng)
        batches = _Batches(pixels, train.truth, weights, order, knobs.batch_size)
        fitted = state.trained.fit(batches, shuffle=False, verbose=0)
        scores = _scores(state.network, val_pixels)
        figures = {
            "loss": float(fitted.history["loss"][0]),
            "accuracy": float(fitted.history["accuracy"][0]),
            "val_loss": metrics.log_loss(val.truth, scores),
            "val_accuracy": metrics.accuracy(val.truth, scores),
        }
        state.history.append(figures)
        state.save(scratch)
        log(epoch, figures)
        print(f"epoch {epoch + 1}/{knobs.epochs}: " + ", ".join(
            f"{name} {value:.3f}" for name, value in figures.items()), flush=True)  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(scratch / "best" / MODEL_FILE, folder / MODEL_FILE)


def predict(folder: Path, paths: list[str]) -> np.ndarray:
    """float32 [N, C]: scores of picture files."""
    model = keras.models.load_model(folder / MODEL_FILE)
    return _scores(model, read_pixels(paths, model.input_shape[1]))


def export(folder: Path, labels: list[str]) -> Classifier:
    """The trained network behind the served graph's door."""
    model = keras.models.load_model(folder / MODEL_FILE)
    side = model.input_shape[1]
    return Classifier(
        labels, lambda image: resize(image, side), lambda batch: model(batch, training=False), model
    )


class _Batches(keras.utils.PyDataset):
    """Batches of pixels, truth and weight, in a given order."""

    def __init__(
        self,
        pixels: np.ndarray,
        truth: np.ndarray,
        weights: np.ndarray,
        order: np.ndarray,
        size: int,
    ) -> None:
        super().__init__()
        self._columns = (pixels, truth, weights[truth])
        self._order = order
        self._size = size

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        chosen = self._order[index * self._size : (index + 1) * self._size]
        return tuple(column[chosen] for column in self._columns)


class _State:
    """A fit between two epochs: network, augmentation and optimizer, and the figures so far."""

    def __init__(self, trained: keras.Sequential, history: list[dict[str, float]]) -> None:
        self.trained = trained
        self.history = history

    @classmethod
    def load(cls, scratch: Path) -> "_State | None":
        if not (scratch / "last" / "history.json").is_file():
            return None
        history = json.loads((scratch / "last" / "history.json").read_text())
        print(f"resumes after epoch {len(history)}")
        return cls(keras.models.load_model(scratch / "last" / MODEL_FILE), history)

    @property
    def network(self) -> keras.Model:
        return self.trained.layers[-1]

    def save(self, scratch: Path) -> None:
        if self._best_epoch() == len(self.history) - 1:
            self._write(scratch / "best", self.network)
        self._write(scratch / "last", self.trained)

    def finished(self, epochs: int, patience: int) -> bool:
        done = len(self.history)
        return done >= epochs or (done > 0 and done - 1 - self._best_epoch() >= patience)

    def _best_epoch(self) -> int:
        return int(np.argmin([figures["val_loss"] for figures in self.history]))

    def _write(self, folder: Path, model: keras.Model) -> None:
        with replacing(folder) as beside:
            model.save(beside / MODEL_FILE)
            write_json(beside / "history.json", self.history)


def _scores(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    batches = (pixels[i : i + 32] for i in range(0, len(pixels), 32))
    return np.concatenate([model.predict_on_batch(batch) for batch in batches])


def _reseed(model: keras.Model, rng: np.random.Generator) -> None:
    """Seed dropout and augmentation, whose states Keras does not save."""
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            variable.assign(rng.integers(2**32, size=2, dtype=np.uint32))


def _class_weights(truth: np.ndarray) -> np.ndarray:
    counts = np.bincount(truth)
    return len(truth) / (len(counts) * counts)
