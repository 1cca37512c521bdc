"""What all Keras classifiers share: read, fit with resume, predict, export."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

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
    knobs: Xception | CharacterCnn,
    params: Params,
    parts: dict[Part, Pictures],
    folder: Path,
    scratch: Path,
    log: Log,
) -> None:
    """Train `build(number of classes)` and save the epoch of lowest validation loss.

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
        model = build(len(train.labels))
        model.compile(
            optimizer=keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(knobs.learning_rate, steps)
            ),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,  # XLA compiles for longer than so small a network trains
        )
        state = _State(model, [])
    for epoch, figures in enumerate(state.history):
        log(epoch, figures)

    while not state.finished(knobs.epochs, knobs.patience):
        epoch = len(state.history)
        # Own order for each epoch, whatever ran before: a resumed fit sees the same one.
        order = np.random.default_rng([params.seed, epoch]).permutation(len(train))
        fitted = state.model.fit(
            pixels[order],
            train.truth[order],
            batch_size=knobs.batch_size,
            sample_weight=weights[train.truth[order]],
            shuffle=False,
            verbose=0,
        )
        scores = _scores(state.model, val_pixels)
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


class _State:
    """A fit between two epochs: the model with its optimizer, and the figures so far."""

    def __init__(self, model: keras.Model, history: list[dict[str, float]]) -> None:
        self.model = model
        self.history = history

    @classmethod
    def load(cls, scratch: Path) -> "_State | None":
        if not (scratch / "last" / "history.json").is_file():
            return None
        import json

        history = json.loads((scratch / "last" / "history.json").read_text())
        print(f"resumes after epoch {len(history)}")
        return cls(keras.models.load_model(scratch / "last" / MODEL_FILE), history)

    def save(self, scratch: Path) -> None:
        if self._best_epoch() == len(self.history) - 1:
            self._write(scratch / "best")
        self._write(scratch / "last")

    def finished(self, epochs: int, patience: int) -> bool:
        done = len(self.history)
        return done >= epochs or (done > 0 and done - 1 - self._best_epoch() >= patience)

    def _best_epoch(self) -> int:
        return int(np.argmin([figures["val_loss"] for figures in self.history]))

    def _write(self, folder: Path) -> None:
        with replacing(folder) as beside:
            self.model.save(beside / MODEL_FILE)
            write_json(beside / "history.json", self.history)


def _scores(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return model.predict(pixels, batch_size=32, verbose=0)


def _class_weights(truth: np.ndarray) -> np.ndarray:
    counts = np.bincount(truth)
    return len(truth) / (len(counts) * counts)
