"""Both trainers, `fast_loop` and `model_fit`: the same training, also after `kill -9`."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stages.models.common import keras_files, training_loop

from .conftest import ROOT
from .toy_classifier import EPOCHS, KILLS, splits, toy

pytestmark = pytest.mark.slow
TRAINERS = ("fast_loop", "model_fit")


@dataclass(frozen=True)
class Fit:
    """A fit that ended: its folder, the final weights, and the metrics of each epoch."""

    folder: Path
    weights: list[np.ndarray]
    curve: list[Mapping[str, float]]


def prepare(folder: Path) -> None:
    for made in ("data", "checkpoints"):
        (folder / made).mkdir()


def fit(folder: Path, trainer: str, patience: int | None) -> Fit:
    curve: list[Mapping[str, float]] = []

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        assert epoch == len(curve), "every epoch is logged once, in order"
        curve.append(dict(metrics))

    data, fitted, checkpoints = (folder / name for name in ("data", "fit", "checkpoints"))
    toy(trainer, patience).fit(splits(data), fitted, checkpoints, log)
    return Fit(folder, keras_files.load(fitted).get_weights(), curve)


@pytest.fixture(scope="module", autouse=True)
def checkpoint_after_every_epoch():
    """However short it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "CHECKPOINT_SHARE", 1e9)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Callable[[str, int | None], Fit]:
    """Fits that nobody interrupts."""

    @cache
    def whole(trainer: str, patience: int | None) -> Fit:
        folder = tmp_path_factory.mktemp(trainer)
        prepare(folder)
        return fit(folder, trainer, patience)

    return whole


@pytest.mark.parametrize("patience", [None, 2])
def test_both_trainers_learn_the_same(whole, patience):
    ours, theirs = (whole(trainer, patience) for trainer in TRAINERS)
    assert len(ours.curve) == EPOCHS if patience is None else 3 <= len(ours.curve) < EPOCHS
    assert len(theirs.curve) == len(ours.curve)
    for our_epoch, their_epoch in zip(ours.curve, theirs.curve, strict=True):
        assert set(our_epoch) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert their_epoch == pytest.approx(our_epoch, rel=1e-5)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_best_epoch_counts_where_there_is_patience(whole, trainer, patience):
    """Which epoch the saved network is of, its loss on val tells."""
    done = whole(trainer, patience)
    losses = [metrics["val_loss"] for metrics in done.curve]
    last = len(losses) - 1
    kept = last if patience is None else int(np.argmin(losses))
    assert patience is None or kept == last - patience
    val = splits(done.folder / "data")["val"]
    scores = toy(trainer, patience).predict(done.folder / "fit", val.paths)
    loss = -np.log(scores[np.arange(len(val)), val.truth]).mean()
    assert loss == pytest.approx(losses[kept], rel=1e-4)


@pytest.mark.parametrize(
    ("patience", "where"), [*((None, where) for where in KILLS), (2, "logged")]
)
@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_killed_fit_ends_with_the_same_weights(whole, trainer, patience, where, tmp_path):
    """To the bit, by either trainer."""
    prepare(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.toy_classifier", str(tmp_path), trainer,
         str(patience), where],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "epoch 1/" in done.stdout and not (tmp_path / "fit/model.keras").exists()

    uninterrupted, resumed = whole(trainer, patience), fit(tmp_path, trainer, patience)
    assert resumed.curve == uninterrupted.curve
    for ours, theirs in zip(resumed.weights, uninterrupted.weights, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_fit_that_was_killed_before_its_model_was_kept_trains_nothing_again(
    whole, trainer, tmp_path, capsys
):
    """All epochs are done and the checkpoint is there: the model is that of the checkpoint."""
    done = whole(trainer, 2)
    shutil.copytree(done.folder, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "fit")
    capsys.readouterr()
    again = fit(tmp_path, trainer, 2)
    assert "val_loss" not in capsys.readouterr().out
    assert again.curve == done.curve
    for ours, theirs in zip(again.weights, done.weights, strict=True):
        assert np.array_equal(ours, theirs)
