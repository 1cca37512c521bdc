"""Both trainers, `fast_loop` and `model_fit`: the same training, also after `kill -9`."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from stages.models.common import keras_files

from .conftest import ROOT
from .toy_classifier import EPOCHS, KILLS, splits, toy

pytestmark = pytest.mark.slow
TRAINERS = ("fast_loop", "model_fit")

Fitted = tuple[list[np.ndarray], list[Mapping[str, float]]]  # weights, and metrics of each epoch


def fit(folder: Path, trainer: str, patience: int | None) -> Fitted:
    data, fitted, checkpoints = (folder / name for name in ("data", "fit", "checkpoints"))
    for made in (data, checkpoints):
        made.mkdir(exist_ok=True)
    logged: list[Mapping[str, float]] = []

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        assert epoch == len(logged), "every epoch is logged once, in order"
        logged.append(dict(metrics))

    toy(trainer, patience).fit(splits(data), fitted, checkpoints, log)
    return keras_files.load(fitted).get_weights(), logged


@pytest.fixture(scope="module", params=[None, 2], ids=["all epochs", "patience 2"])
def patience(request) -> int | None:
    return request.param


@pytest.fixture(scope="module")
def whole(patience, tmp_path_factory) -> dict[str, Fitted]:
    """Fits that nobody interrupts, a trainer each."""
    return {
        trainer: fit(tmp_path_factory.mktemp(trainer), trainer, patience) for trainer in TRAINERS
    }


def test_both_trainers_learn_the_same(whole, patience):
    (weights, curve), (others, other_curve) = (whole[trainer] for trainer in TRAINERS)
    assert len(curve) == len(other_curve)
    assert len(curve) == EPOCHS if patience is None else 3 <= len(curve) < EPOCHS
    for ours, theirs in zip(curve, other_curve, strict=True):
        assert set(ours) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert theirs == pytest.approx(ours, rel=1e-5)
    for ours, theirs in zip(weights, others, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-6)


def test_the_best_epoch_counts_where_there_is_patience(whole, patience, tmp_path):
    """The network's own loss on val tells which epoch it is of."""
    for trainer, (_, curve) in whole.items():
        losses = [metrics["val_loss"] for metrics in curve]
        kept = int(np.argmin(losses)) if patience else len(losses) - 1
        assert patience is None or kept < len(losses) - 1
        folder = tmp_path / trainer
        folder.mkdir()
        model = toy(trainer, patience)
        (folder / "data").mkdir()
        val = splits(folder / "data")["val"]
        fit(folder, trainer, patience)
        scores = model.predict(folder / "fit", val.paths)
        loss = -np.log(scores[np.arange(len(val)), val.truth]).mean()
        assert loss == pytest.approx(losses[kept], rel=1e-4)


@pytest.mark.parametrize("where", KILLS)
@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_fit_that_was_killed_ends_with_the_same_weights(
    whole, patience, trainer, where, tmp_path
):
    for made in ("data", "checkpoints"):
        (tmp_path / made).mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.toy_classifier", str(tmp_path), trainer,
         str(patience), where],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "epoch 2/" in done.stdout and not (tmp_path / "fit/model.keras").exists()

    weights, curve = whole[trainer]
    again, resumed = fit(tmp_path, trainer, patience)
    assert len(resumed) == len(curve)
    for ours, theirs in zip(resumed, curve, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
    for ours, theirs in zip(again, weights, strict=True):
        assert np.array_equal(ours, theirs)
