"""Training on two devices, in two processes, in bfloat16 and with XLA; all beside one device."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celflow.errors import UserError
from stages.models.common import distribution, keras_files
from stages.models.common.cluster import is_chief
from stages.models.common.distribution import even
from stages.models.common.precision import in_precision

from .conftest import ROOT
from .distributed_toy import EPOCHS, fit, plain

SAME = 1e-5  # relative, of each epoch's losses: sums in another order


@pytest.fixture(scope="module")
def one_device(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    return fit(tmp_path_factory.mktemp("one_device"))


def worker(folder: Path, strategy: str, *kill: int, **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stages.distributed_toy", folder, strategy, *map(str, kill)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def answer(process: "subprocess.Popen[str]") -> tuple[str, Any]:
    """All that it printed, and the curve."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]
    assert "doesn't support `jit_compile=True`" not in err
    return out, json.loads(out.splitlines()[-1])


def assert_same(ours: Any, theirs: list[dict[str, float]]) -> None:
    assert len(ours) == len(theirs) == EPOCHS
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, rel=SAME)


@pytest.mark.parametrize(("size", "count"), [(8, 2), (3, 2), (1, 4), (5, 3)])
def test_equal_shares_have_the_mean_loss_of_the_batch(size: int, count: int) -> None:
    rng = np.random.default_rng(size)
    pixels, weights = rng.random(size), rng.random(size) + 0.5
    losses, _, padded = even((pixels, pixels, weights), count)
    shares = [np.mean((losses * padded)[i::count]) for i in range(count)]
    assert len(losses) % count == 0
    assert np.mean(shares) == pytest.approx(np.mean(pixels * weights))


@pytest.mark.slow
def test_two_devices_and_xla_have_the_losses_of_one_device(one_device: Any, tmp_path: Path) -> None:
    out, mirrored = answer(worker(tmp_path, "xla,mirrored"))
    assert_same(mirrored, one_device)
    assert_same(next(json.loads(line) for line in out.splitlines() if line[0] == "["), one_device)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_device_also_after_a_kill(
    one_device: Any, tmp_path: Path
) -> None:
    """The first worker writes the checkpoints, and is killed after the second epoch."""

    def workers(*kill: int) -> "list[subprocess.Popen[str]]":
        with socket.socket() as a, socket.socket() as b:
            addresses = []
            for probe in (a, b):
                probe.bind(("127.0.0.1", 0))
                addresses.append(f"127.0.0.1:{probe.getsockname()[1]}")
        tasks = [
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            for index in range(2)
        ]
        return [worker(tmp_path, "multiworker", *kill, TF_CONFIG=json.dumps(t)) for t in tasks]

    for process in workers(2):
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "fit/model.keras").exists()

    first, second = workers()
    out, ours = answer(first)
    assert "resumes after epoch 2" in out
    assert_same(ours, one_device)
    assert_same(answer(second)[1], one_device)
    a, b = (keras_files.load(tmp_path / name).get_weights() for name in ("fit", "other_worker"))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.slow
def test_bfloat16_learns_much_the_same_and_saves_float32(one_device: Any, tmp_path: Path) -> None:
    for ours, theirs in zip(fit(tmp_path, precision="mixed_bfloat16"), one_device, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.02)
    saved = keras_files.load(tmp_path / "fit")
    assert {layer.dtype_policy.name for layer in saved.layers} == {"float32"}


def test_mixed_layers_compute_in_bfloat16_but_the_last(tmp_path: Path) -> None:
    network = plain().build({})
    mixed = in_precision(network, "mixed_bfloat16")
    assert [layer.compute_dtype for layer in mixed.layers[1:]] == ["bfloat16"] * 7 + ["float32"]
    assert {weight.dtype for weight in mixed.weights} == {"float32"}


@pytest.mark.parametrize(
    ("trainer", "compute", "words"),
    [
        ("model_fit", {"strategy": "mirrored"}, "strategy mirrored needs trainer: fast_loop"),
        ("fast_loop", {"strategy": "mirrored", "jit_compile": True}, "needs strategy: none"),
        ("fast_loop", {"precision": "half"}, "mixed_bfloat16"),
    ],
)
def test_what_does_not_go_together_is_refused(
    trainer: str, compute: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        plain(trainer, **compute)


def test_multiworker_needs_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="TF_CONFIG is not set"):
        distribution.Distribution("multiworker")


@pytest.mark.parametrize(
    ("config", "chief"),
    [("", True), ("{}", True), ('{"task": {"type": "worker", "index": 0}}', True),
     ('{"task": {"type": "worker", "index": 1}}', False)],
)  # fmt: skip
def test_the_first_worker_is_the_chief(
    config: str, chief: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    assert is_chief() is chief
