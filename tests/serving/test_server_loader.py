"""From a folder to a servable: which file is taken, and its warm-up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.protos import prediction_log_pb2
from serving.server.caller import NOBODY
from serving.server.status import StatusError

from .model_server import Repository


@pytest.fixture
def version(saved_models: Path, tmp_path: Path) -> Path:
    return Repository(saved_models, tmp_path / "half").add(1, "half_plus_1")


def load(folder: Path, **options: Any) -> Any:
    from serving.server.loader import Loader

    return Loader(**options)("m", 1, folder)


def y(servable: Any) -> float:
    return float(servable.run("", {"x": np.float32([2])}, ["y"], NOBODY)["y"][0])


def test_lite_is_taken_where_it_is_preferred_or_alone(
    version: Path, saved_models: Path, tmp_path: Path
) -> None:
    from .tiny_models import save_lite

    save_lite(tmp_path / "lite", saved_models / "half_plus_3")
    (version / "model.tflite").write_bytes((tmp_path / "lite" / "model.tflite").read_bytes())
    assert y(load(version)) == 2
    assert y(load(version, prefer_tflite=True)) == 4
    assert y(load(tmp_path / "lite")) == 4
    (tmp_path / "lite" / "model.tflite").write_bytes(b"rubbish")
    with pytest.raises(StatusError, match="is no TensorFlow Lite model"):
        load(tmp_path / "lite")


def test_warm_up_may_be_off(version: Path) -> None:
    from .tiny_models import add_warmup

    add_warmup(version, [1.0], input_name="z")
    with pytest.raises(StatusError, match="warm-up request 0"):
        load(version)
    assert y(load(version, warm_up=0)) == 2


def write_records(folder: Path, *records: bytes) -> None:
    import tensorflow as tf

    (folder / "assets.extra").mkdir()
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def test_warm_up_by_classify(saved_models: Path, tmp_path: Path) -> None:
    folder = Repository(saved_models, tmp_path / "examples").add(1, "examples")
    log = prediction_log_pb2.PredictionLog()
    request = log.classify_log.request
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(1)
    good = log.SerializeToString()
    request.input.example_list.examples.add()
    write_records(folder, good, log.SerializeToString())
    with pytest.raises(StatusError, match=r"warm-up request 1: model m version 1: .*Feature: x"):
        load(folder)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([b"\xff"], "warm-up request 0 cannot be read"),
        ([b""], "Unsupported log_type for warmup: None"),
    ],
)
def test_broken_warm_up(version: Path, records: list[bytes], words: str) -> None:
    write_records(version, *records)
    with pytest.raises(StatusError, match=words):
        load(version)


def test_warm_up_that_is_no_record_file(version: Path) -> None:
    (version / "assets.extra").mkdir()
    (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(bytes(100))
    with pytest.raises(StatusError, match="a TFRecord file"):
        load(version)
