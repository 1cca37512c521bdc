"""From a folder to a servable: which file is taken, and its warm-up."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.protos import prediction_log_pb2
from serving.server.byte_budget import NO_BUDGET
from serving.server.deadline import NO_DEADLINE, Deadline
from serving.server.status import StatusError

from .model_server import Repository


@pytest.fixture
def version(saved_models: Path, tmp_path: Path) -> Path:
    return Repository(saved_models, tmp_path / "half").add(1, "half_plus_1")


def load(folder: Path, **options: Any) -> Any:
    from serving.server.runtime.loader import Loader

    return Loader(**options)("m", 1, folder)


def y(servable: Any) -> float:
    return float(
        servable.run("", {"x": np.float32([2])}, ["y"], NO_DEADLINE, NO_BUDGET.hold())["y"][0]
    )


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


def test_interpreters_side_by_side(saved_models: Path, tmp_path: Path) -> None:
    """Four requests of different sizes at a time, on two interpreters."""
    from .tiny_models import save_lite

    save_lite(tmp_path / "lite", saved_models / "half_plus_3")
    servable = load(tmp_path / "lite", tflite_interpreters=2)

    def ask(size: int) -> bool:
        x = np.arange(size, dtype=np.float32)
        found = servable.run("", {"x": x}, ["y"], NO_DEADLINE, NO_BUDGET.hold())["y"]
        return bool((found == x / 2 + 3).all())

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, [1, 7, 100, 3] * 50))


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


def test_what_a_signature_may_take_and_give(tmp_path: Path) -> None:
    """All types of NumPy's, also without rows; a table, whose file it brings; nothing at all."""
    import tensorflow as tf

    from serving.server.runtime import saved_model

    kinds = (
        *(tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128, tf.bool),
        *(tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64),
    )
    (tmp_path / "words").write_text("a\nb\n")
    whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    words = tf.lookup.TextFileInitializer(str(tmp_path / "words"), tf.string, whole, tf.int64, line)
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(words, -1)

    def signature(answer: Any, *kind: Any) -> Any:
        specs = [tf.TensorSpec([None], one, "x") for one in kind]
        return tf.function(answer, input_signature=specs).get_concrete_function()

    signatures = {kind.name: signature(lambda x: {"y": tf.identity(x)}, kind) for kind in kinds}
    signatures["look"] = signature(lambda x: {"y": module.table.lookup(x)}, tf.string)
    signatures["nothing"] = signature(lambda: {"y": tf.constant(1.0), "z": tf.constant(1.0)})
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=signatures)
    (tmp_path / "words").unlink()

    _, loaded = saved_model.load(tmp_path / "m", saved_model.SavedModelOptions())
    for kind in kinds:
        for values in ([0, 1], []):
            x = np.array(values).astype(kind.as_numpy_dtype)
            y = loaded[kind.name].run({"x": x}, NO_DEADLINE)["y"]
            assert (y.dtype, y.tolist()) == (x.dtype, x.tolist())
    found = loaded["look"].run({"x": np.array([b"b", b"\xff"], object)}, NO_DEADLINE)
    assert found["y"].tolist() == [1, -1]
    assert loaded["nothing"].run({}, NO_DEADLINE) == {"y": 1, "z": 1}


def test_a_deadline_stops_the_graph(saved_models: Path) -> None:
    servable = load(saved_models / "counter")
    started = time.monotonic()
    with pytest.raises(StatusError) as refusal:
        servable.run("", {"turns": np.int64(10**8)}, [], Deadline(started + 0.5), NO_BUDGET.hold())
    assert refusal.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 5


def test_a_version_may_have_batching_parameters_of_its_own(version: Path) -> None:
    from serving.server.runtime.batching import Batcher
    from serving.server.runtime.batching_options import BatchingOptions

    def rows(count: int, **options: Any) -> Any:
        servable = load(version, batcher=Batcher(BatchingOptions(max_batch_size=2)), **options)
        inputs = {"x": np.float32([2] * count)}
        return servable.run("", inputs, ["y"], NO_DEADLINE, NO_BUDGET.hold())["y"].tolist()

    with pytest.raises(StatusError, match="larger than maximum input batch size 2"):
        rows(3)
    assert rows(3, own_batching=True) == [2, 2, 2], "without a file there is no batching"
    (version / "batching_params.pbtxt").write_text("max_batch_size { value: 4 }")
    assert rows(3, own_batching=True) == [2, 2, 2]
    with pytest.raises(StatusError, match="larger than maximum input batch size 4"):
        rows(5, own_batching=True)
    (version / "batching_params.pbtxt").write_text("max_batch_size { value: 0 }")
    with pytest.raises(StatusError, match="max_batch_size is 0"):
        rows(1, own_batching=True)
