"""The fast training loop: that it learns what `model.fit` does, and what it saves on the way."""

import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from stages.models.common import keras_files, training_loop
from stages.models.common.config import AugmentConfig
from stages.models.common.training_batches import AugmentedBatches
from stages.models.common.training_loop import TrainingState

PIXELS = np.random.default_rng(0).integers(0, 256, (22, 8, 8, 3), dtype=np.uint8)
TRUTH = np.arange(22) % 3


def tiny() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.layers.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def test_the_loop_learns_what_fit_does():
    batches = AugmentedBatches(PIXELS, TRUTH, 8, AugmentConfig(), 0, 0)
    ours, theirs = tiny(), tiny()
    metrics = training_loop.train_epoch(ours, batches)
    pixels, targets, weights = (
        np.concatenate(column) for column in zip(*(batches[i] for i in range(3)), strict=True)
    )
    fitted = theirs.fit(pixels, targets, 8, 1, 0, sample_weight=weights, shuffle=False)
    assert metrics == pytest.approx({k: v[0] for k, v in fitted.history.items()}, rel=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


class Counted:
    """Batches that remember how many of them were asked for; number `bad` can't be made."""

    def __init__(self, bad: int | None = None) -> None:
        self.asked = 0
        self.bad = bad
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        with self._lock:
            self.asked += 1
        if index == self.bad:
            raise ValueError("no such picture")
        time.sleep(0.001 * (index % 3))  # the second thread overtakes the first
        return (np.full(1, index),)


def test_batches_come_in_order_and_few_of_them_wait():
    batches = Counted()
    for index, (batch,) in enumerate(training_loop.prefetch(batches)):
        assert batch == index
        assert batches.asked <= index + 1 + training_loop.PREFETCHED
    assert index == 49


def test_a_batch_that_cannot_be_made_ends_the_epoch():
    batches = Counted(bad=7)
    with pytest.raises(ValueError, match="no such picture"):
        for _ in training_loop.prefetch(batches):
            pass
    assert batches.asked <= 8 + training_loop.PREFETCHED


def test_saving_takes_its_share_of_time_and_no_more(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(training_loop.time, "monotonic", lambda: clock[0])
    state = TrainingState(tiny())
    save = state.network.save

    def slow_save(path: Path) -> None:
        clock[0] += 3
        save(path)

    state.network.save = slow_save
    saved = []
    for epoch in range(100):
        clock[0] += 10
        state.add({"val_loss": 1.0})
        before = clock[0]
        state.save(tmp_path)
        if clock[0] > before:
            saved.append(epoch)
    assert saved[0] == 0  # so that something is there
    assert len(saved) > 5 and 3 * len(saved) / clock[0] < training_loop.CHECKPOINT_SHARE + 0.01


def test_best_weights_come_back_after_a_kill(tmp_path):
    state = TrainingState(tiny())
    state.add({"val_loss": 1.0})
    best = state.network.get_weights()
    state.network.set_weights([2 * one for one in best])
    state.add({"val_loss": 2.0})
    state.save(tmp_path)

    again = TrainingState.load(tmp_path)
    assert again is not None and len(again.history) == 2
    for kept, true in zip(again.best, best, strict=True):
        assert np.array_equal(kept, true)

    def never(epoch: int) -> dict[str, float]:
        raise AssertionError("patience was over")

    training_loop.run_epochs(again, never, 9, 1, tmp_path, tmp_path, lambda *_: None)
    ended = keras.models.load_model(tmp_path / keras_files.MODEL_FILE).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(ended, best, strict=True))
