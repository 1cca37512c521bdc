"""Whatever is sent, the answer is a proper code, nothing crashes and memory stays flat."""

import random
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from serving.client import Client
from serving.protos import (
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    tensor_pb2,
)
from serving.tensors import to_array, to_proto

from .model_server import Repository, Server, model_config

pytestmark = pytest.mark.slow

TIMES = 3000  # requests of each kind of rubbish
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
MODELS = ["half", "pictures", "examples", "no", "", "\0", "é" * 100]
SIGNATURES = ["", "serving_default", "small", "regress", "scores", "__saved_model_init_op", "no"]
NAMES = ["x", "image_bytes", "inputs", "", "z"]
SIZES = [0, 1, 2, 3, 4, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -1, -(1 << 63)]


@pytest.fixture(scope="module")
def channel(
    server: Server, saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("repository")
    kinds = {"half": "half_plus_1", "pictures": "pictures", "examples": "examples"}
    for name, kind in kinds.items():
        Repository(saved_models, folder / name).add(1, kind)
    config = model_config(*({"name": name, "base_path": folder / name} for name in kinds))
    with Client(server.address) as client:
        client.reload_config(config)
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.address, limits) as channel:
        yield channel


def ask_often(server: Server, stub: Any, ask: Callable[[random.Random], Any]) -> None:
    """Ask `TIMES` times; every failure is one of `REFUSALS`, and in the end the server is well."""
    process = psutil.Process(server.process.pid)
    size = 0
    for seed in range(TIMES):
        if seed == TIMES // 3:
            size = process.memory_info().rss
        try:
            ask(random.Random(seed))
        except grpc.RpcError as error:
            assert error.code() in REFUSALS, f"seed {seed}: {error}"
            assert "\n" not in error.details()
    good = predict_pb2.PredictRequest()
    good.model_spec.name = "half"
    good.inputs["x"].CopyFrom(to_proto(np.float32([2])))
    assert to_array(stub.Predict(good).outputs["y"]).tolist() == [2]
    assert process.memory_info().rss - size < 200 << 20
    assert "Traceback" not in server.log.read_text()


def tensor(rng: random.Random, png: bytes) -> Any:
    """A TensorProto that may well contradict itself."""
    proto = tensor_pb2.TensorProto(dtype=rng.choice([1, 1, 1, 7, 7, 7, *range(30), 101]))
    for _ in range(rng.choice([0, 1, 1, 1, 2, 5, 300])):
        proto.tensor_shape.dim.add().size = rng.choice(SIZES[: rng.choice([4, len(SIZES)])])
    proto.tensor_shape.unknown_rank = rng.random() < 0.05
    for _ in range(rng.choice([0, 1, 1, 2])):
        kind = rng.choice(["float_val", "string_val", "int_val", "tensor_content", "bool_val"])
        if kind == "tensor_content":
            proto.tensor_content = rng.randbytes(rng.choice([0, 1, 4, 8, 1000]))
        elif kind == "string_val":
            cut = rng.randrange(len(png))
            data = [png, png[:cut], rng.randbytes(100), b"\xff\xd8\xff" + rng.randbytes(50), b""]
            proto.string_val.extend(rng.choices(data, k=rng.choice([1, 2, 3])))
        elif kind == "float_val":
            floats = [0.0, 1.0, float("nan"), float("inf"), -3e38]
            proto.float_val.extend(rng.choices(floats, k=rng.choice([1, 2, 3])))
        else:
            getattr(proto, kind).append(rng.choice([0, 1]))
    return proto


def test_random_tensors(server: Server, channel: Any, png: bytes) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(rng: random.Random) -> None:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = rng.choice(MODELS[: rng.choice([2, len(MODELS)])])
        request.model_spec.signature_name = rng.choice(SIGNATURES[: rng.choice([2, 7])])
        if rng.random() < 0.1:
            request.model_spec.version.value = rng.choice([1, 2, -1, (1 << 63) - 1])
        elif rng.random() < 0.1:
            request.model_spec.version_label = rng.choice(["", "stable", "\n"])
        for _ in range(rng.choice([0, 1, 1, 1, 1, 2])):
            name = rng.choice(NAMES[: rng.choice([2, len(NAMES)])])
            request.inputs[name].CopyFrom(tensor(rng, png))
        if rng.random() < 0.1:
            request.output_filter.extend(rng.choices(["y", "scores", "z", ""], k=2))
        stub.Predict(request)

    ask_often(server, stub, ask)


def test_random_bytes(server: Server, channel: Any) -> None:
    """Messages that are broken on the way, sent as they are."""
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    good = predict_pb2.PredictRequest()
    good.model_spec.name = "half"
    good.inputs["x"].CopyFrom(to_proto(np.float32([2, 3, 4])))
    inference = inference_pb2.MultiInferenceRequest()
    inference.tasks.add(method_name="tensorflow/serving/classify").model_spec.name = "examples"
    inference.input.example_list.examples.add().features.feature["x"].float_list.value.append(1)
    templates = {"Predict": good, "Classify": good, "Regress": good, "MultiInference": inference}

    def ask(rng: random.Random) -> None:
        verb = rng.choice(list(templates))
        data = bytearray(templates[verb].SerializeToString())
        for _ in range(rng.choice([0, 1, 2, 20])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{verb}")
        try:
            call(bytes(data))
        except grpc.RpcError as error:
            if error.details() != "the request cannot be parsed":
                raise

    ask_often(server, stub, ask)


@pytest.mark.parametrize(
    "method", ["tensorflow.serving.PredictionService/Predict", "grpc.health.v1.Health/Check"]
)
def test_unreadable_messages_leave_nothing_behind(
    server: Server, channel: Any, method: str
) -> None:
    """grpcio alone keeps 20 KB of each."""
    process = psutil.Process(server.process.pid)
    call = channel.unary_unary(f"/{method}")
    for number in range(2000):
        if number == 500:
            size = process.memory_info().rss
        with pytest.raises(grpc.RpcError, match="cannot be parsed") as refusal:
            call(b"\xff")
        assert refusal.value.code() == grpc.StatusCode.INTERNAL
    assert process.memory_info().rss - size < 10 << 20


def test_hundred_megabytes_of_rubbish(server: Server, channel: Any) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "pictures"
    request.inputs["image_bytes"].CopyFrom(to_proto(np.array([bytes(100_000_000)], object)))
    with pytest.raises(grpc.RpcError, match="larger than max") as refusal:
        stub.Predict(request)
    assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    request.inputs["image_bytes"].CopyFrom(to_proto(np.array([bytes(50_000_000)], object)))
    with pytest.raises(grpc.RpcError, match="PNG") as refusal:
        stub.Predict(request)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_random_json(server: Server, channel: Any) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    parts = ["{", "}", "[", "]", '"instances"', '"inputs"', '"examples"', ":", ",", "1", "1e999"]
    parts += [
        '"x"',
        '{"b64": "AA=="}',
        "null",
        "true",
        '"\\ud800"',
        "NaN",
        "-",
        "9" * 400,
        "[[1],2]",
    ]

    def ask(rng: random.Random) -> None:
        key = rng.choice(["instances", "inputs", "examples", "signature_name"])
        value = "".join(rng.choices(parts, k=rng.choice([1, 1, 1, 3, 10])))
        body = rng.choice([f'{{"{key}": {value}}}', f'{{"{key}": [{value}]}}', value]).encode()
        if rng.random() < 0.1:
            body = rng.randbytes(30)
        model = rng.choice(["half", "pictures", "examples", "no", "%00", "%ff"])
        verb = rng.choice(["predict", "classify", "regress"])
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/{model}:{verb}"
        try:
            urllib.request.urlopen(url, body).close()
        except urllib.error.HTTPError as error:
            assert error.code in (400, 404), f"{body!r}: {error.code} {error.read()!r}"

    ask_often(server, stub, ask)
