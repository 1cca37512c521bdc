"""What a request may say, and what it gets: TensorFlow Serving's codes and words."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from serving.client import Client
from serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from serving.tensors import to_array, to_proto

from .model_server import Repository, Server, model_config


@pytest.fixture(scope="module")
def channel(
    server: Server, saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A bare gRPC channel to the server, which has `half` 1 (stable) and 2, and `slow`."""
    folder = tmp_path_factory.mktemp("repository")
    half = Repository(saved_models, folder / "half")
    half.add(1, "half_plus_1")
    half.add(2, "half_plus_2")
    slow = Repository(saved_models, folder / "slow")
    slow.add(1, "slow")
    labels = {"stable": 1}
    config = model_config(
        {"name": "half", "base_path": half.base_path, "versions": "all", "labels": labels},
        {"name": "slow", "base_path": slow.base_path},
    )
    with Client(server.address) as client:
        client.reload_config(config)
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: Any) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(
    name: str = "half",
    version: int | None = None,
    label: str = "",
    signature: str = "",
    outputs: tuple[str, ...] = (),
    **inputs: Any,
) -> Any:
    message = predict_pb2.PredictRequest(output_filter=outputs)
    message.model_spec.name = name
    message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    if label:
        message.model_spec.version_label = label
    for key, value in (inputs or {"x": np.float32([2, 4])}).items():
        message.inputs[key].CopyFrom(to_proto(value))
    return message


def test_neither_version_nor_label_is_the_latest(stub: Any) -> None:
    response = stub.Predict(request())
    assert response.model_spec.name == "half"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"
    assert to_array(response.outputs["y"]).tolist() == [3, 4]
    assert to_array(response.outputs["twice"]).tolist() == [4, 8]


def test_version_and_label(stub: Any) -> None:
    assert stub.Predict(request(version=1)).model_spec.version.value == 1
    assert stub.Predict(request(label="stable")).model_spec.version.value == 1


def test_answers_have_typed_fields_as_the_real_server(stub: Any) -> None:
    assert list(stub.Predict(request()).outputs["y"].float_val) == [3, 4]


def test_output_filter(stub: Any) -> None:
    assert list(stub.Predict(request(outputs=("twice",))).outputs) == ["twice"]


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        (request(name=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (request(name="no"), "NOT_FOUND", "Servable not found for request: Latest(no)"),
        (request(version=3), "NOT_FOUND", "Servable not found for request: Specific(half, 3)"),
        (
            request(label="old"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: old",
        ),
        (
            request(signature="cube"),
            "FAILED_PRECONDITION",
            'model half version 2: Serving signature key "cube" not found.',
        ),
        (request(z=np.float32([1])), "INVALID_ARGUMENT", "Missing but required: {x}"),
        (
            request(x=np.float32([1]), z=np.float32([1])),
            "INVALID_ARGUMENT",
            "Sent extra: {z}",
        ),
        (
            request(x=np.int64([1])),
            "INVALID_ARGUMENT",
            "model half version 2: input 'x' must be float32, but is int64",
        ),
        (
            request(x=np.array([b"a"], object)),
            "INVALID_ARGUMENT",
            "input 'x' must be float32, but is string",
        ),
        (request(outputs=("z",)), "INVALID_ARGUMENT", "not found in signature: z"),
        (request(outputs=("y", "y")), "INVALID_ARGUMENT", "duplicate output tensor alias"),
        (
            request(signature="rotate"),
            "UNIMPLEMENTED",
            "output 'y' is not supported: arrays of complex64 cannot be sent",
        ),
        (
            request(signature="square", x=np.float32([1])),
            "INVALID_ARGUMENT",
            "Input to reshape is a tensor with 1 values, but the requested shape has 4",
        ),
        (
            request(signature="small", x=np.float32([9])),
            "INVALID_ARGUMENT",
            "model half version 2: x is too large",
        ),
    ],
)
def test_refusals(stub: Any, message: Any, code: str, words: str) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        stub.Predict(message)
    assert refusal.value.code().name == code
    assert words in refusal.value.details()
    assert "\n" not in refusal.value.details()
    assert "Traceback" not in refusal.value.details()


def test_missing_spec(stub: Any) -> None:
    with pytest.raises(grpc.RpcError, match="Missing ModelSpec") as refusal:
        stub.Predict(predict_pb2.PredictRequest())
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "shape",
    [[-1], [1 << 40], [3, 1 << 62], [1] * 200],
)
def test_hostile_shapes(stub: Any, shape: list[int]) -> None:
    message = request()
    proto = message.inputs["x"]
    proto.Clear()
    proto.dtype = 1
    proto.float_val.append(1)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    with pytest.raises(grpc.RpcError, match="tensor parsing error: input 'x'") as refusal:
        stub.Predict(message)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_metadata(stub: Any) -> None:
    question = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    question.model_spec.name = "half"
    response = stub.GetModelMetadata(question)
    assert response.model_spec.version.value == 2
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "square", "small"} <= set(signatures.signature_def)
    assert set(signatures.signature_def["serving_default"].outputs) == {"y", "twice"}


@pytest.mark.parametrize("fields", [[], ["weights"]])
def test_metadata_of_unknown_fields(stub: Any, fields: list[str]) -> None:
    question = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    question.model_spec.name = "half"
    with pytest.raises(grpc.RpcError, match="etadata") as refusal:
        stub.GetModelMetadata(question)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_concurrent_requests_do_not_mix(stub: Any) -> None:
    def ask(number: int) -> bool:
        response = stub.Predict(request(x=np.float32([number])))
        return bool(to_array(response.outputs["twice"])[0] == 2 * number)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(200)))


def test_status_by_version_and_label(channel: Any) -> None:
    models = model_service_pb2_grpc.ModelServiceStub(channel)

    def versions(question: Any) -> list[int]:
        return [entry.version for entry in models.GetModelStatus(question).model_version_status]

    question = get_model_status_pb2.GetModelStatusRequest()
    with pytest.raises(grpc.RpcError, match="Missing ModelSpec"):
        models.GetModelStatus(question)
    question.model_spec.name = "half"
    assert versions(question) == [2, 1]
    question.model_spec.version_label = "stable"
    assert versions(question) == [1]
    question.model_spec.version.value = 9
    with pytest.raises(grpc.RpcError, match="Could not find version 9 of model half"):
        models.GetModelStatus(question)


def test_deadline(stub: Any) -> None:
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as refusal:
        stub.Predict(request(name="slow", seconds=np.float32(1)), timeout=0.2)
    assert refusal.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 1


def test_health(channel: Any) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        response = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as refusal:
        health.Check(health_pb2.HealthCheckRequest(service="no"))
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection(channel: Any) -> None:
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="tensorflow.serving.PredictionService"
        ),
    ]
    services, file = reflection.ServerReflectionInfo(iter(questions))
    assert {
        "grpc.health.v1.Health",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    } <= {service.name for service in services.list_services_response.service}
    assert file.file_descriptor_response.file_descriptor_proto
