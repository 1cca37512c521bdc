"""A faster way only where it was measured to answer alike; whatever goes wrong, as it is."""

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COUNT = 200


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of numbers whose best one is clear, and a request for 200 rows of it."""
    import tensorflow as tf

    from serving.protos import prediction_log_pb2

    folder = tmp_path_factory.mktemp("models") / "layer/1"
    weights = tf.constant(
        np.random.default_rng(3).normal(size=(64, 64)) / 8 + np.eye(64), tf.float32
    )

    @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, name="x")])
    def scores(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.nn.softmax(tf.nn.relu(x @ weights))}

    module = tf.Module()
    module.weights = weights
    tf.saved_model.save(module, str(folder), {"serving_default": scores})
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    rows = 20 * np.eye(64, dtype=np.float32)[np.arange(COUNT) % 64]
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(rows))
    with tf.io.TFRecordWriter(str(folder.parent / "requests")) as writer:
        writer.write(log.SerializeToString())
    return folder


def choose(version: Path, examples: str) -> tuple[Any, list[str]]:
    """What was chosen, and what the log says."""
    from serving.server.runtime import fast
    from serving.server.runtime.saved_model import SavedModelOptions

    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    fast.log.addHandler(handler)
    fast.log.setLevel(logging.INFO)
    try:
        chosen = fast.choose("layer", 1, version, SavedModelOptions(), examples)
    finally:
        fast.log.removeHandler(handler)
    return chosen, said


@pytest.mark.parametrize("openvino", [False, True])
def test_what_answers_alike_is_taken_and_loads(
    version: Path, openvino: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How fast it is depends on the machine; the rest does not."""
    from serving.server.runtime import fast, openvino_network
    from serving.server.runtime.loader import Loader

    monkeypatch.setattr(openvino_network, "installed", lambda: openvino)
    monkeypatch.setattr(fast, "MIN_SPEEDUP", 0)
    chosen, (said,) = choose(version, f"{version.parents[1]}/{{model}}/requests")
    assert chosen.bfloat16 and chosen.openvino is openvino
    by = "OpenVINO" if openvino else "TensorFlow"
    assert f"runs in bfloat16 by {by}: 200 examples, 100.0% alike" in said
    monkeypatch.setattr(fast, "choose", lambda *_: chosen)
    servable = Loader(warm_up=0, fast=True)("layer", 1, version)
    assert "serving_default" in servable.signature_defs


def test_without_enough_examples_it_stays_as_it_is(version: Path) -> None:
    chosen, said = choose(version, "")
    assert not chosen.bfloat16 and not chosen.openvino
    assert "0 examples" in said[0] and "200 are needed" in said[0]


def test_a_comparison_that_dies_takes_nothing_along(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = tmp_path / "python"
    dies.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dies.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dies))
    chosen, said = choose(version, "")
    assert not chosen.bfloat16 and not chosen.openvino
    assert all("does not run in" in line and line.endswith("it crashed") for line in said)


@pytest.mark.parametrize(
    ("agreement", "difference", "speedup", "accepted"),
    [(1, 0, 2, True), (0.99, 0, 2, False), (1, 0.06, 2, False), (1, 0, 1, False)],
)
def test_what_is_accepted(
    agreement: float, difference: float, speedup: float, accepted: bool
) -> None:
    from serving.server.runtime.fast import Comparison

    assert Comparison(COUNT, agreement, difference, speedup).accepted is accepted


def test_what_counts_as_alike() -> None:
    from serving.server.runtime.fast import _agreement, _difference

    one = {
        "scores": np.float32([[0.6, 0.4], [0.51, 0.49]]),
        "names": np.array([b"a", b"b"], object),
        "picture": np.uint8([[0], [255]]),
    }
    other = {**one, "scores": np.float32([[0.59, 0.41], [0.49, 0.51]])}
    assert _agreement(one, other) == 0.5
    assert _difference(one, other) == pytest.approx(0.02, abs=1e-6)
    assert _agreement(one, {**one, "names": np.array([b"a", b"c"], object)}) == 0.5
    assert _difference(one, {**one, "picture": np.uint8([[51], [255]])}) == pytest.approx(0.2)
