"""Classify, Regress and MultiInference: lists of Examples, over gRPC and as JSON."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.client import Client
from serving.protos import (
    classification_pb2,
    example_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from serving.tensors import to_array, to_proto

from .model_server import Repository, Server, model_config

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def served(
    server: Server, saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A stub of the server, which has `examples` 1 (a model of TensorFlow 1), label stable."""
    base_path = tmp_path_factory.mktemp("repository") / "examples"
    Repository(saved_models, base_path).add(1, "examples")
    Repository(saved_models, base_path.with_name("half")).add(1, "half_plus_1")
    labels = {"stable": 1}
    config = model_config(
        {"name": "examples", "base_path": base_path, "labels": labels},
        {"name": "half", "base_path": base_path.with_name("half")},
    )
    with Client(server.address) as client:
        client.reload_config(config)
    with grpc.insecure_channel(server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def example(**features: float) -> Any:
    message = example_pb2.Example()
    for name, value in features.items():
        message.features.feature[name].float_list.value.append(value)
    return message


def fill(message: Any, *rows: Any, context: Any = None, signature: str = "") -> Any:
    if hasattr(message, "model_spec"):
        message.model_spec.name = "examples"
        message.model_spec.signature_name = signature
    if context is None:
        message.input.example_list.examples.extend(rows)
    else:
        message.input.example_list_with_context.context.CopyFrom(context)
        message.input.example_list_with_context.examples.extend(rows)
    return message


def classification(*rows: Any, **more: Any) -> Any:
    return fill(classification_pb2.ClassificationRequest(), *rows, **more)


def regression(*rows: Any, **more: Any) -> Any:
    more = {"signature": "regress", **more}
    return fill(regression_pb2.RegressionRequest(), *rows, **more)


def multi(*tasks: tuple[str, str, str], rows: tuple[Any, ...] = ()) -> Any:
    message = inference_pb2.MultiInferenceRequest()
    for name, signature, method in tasks:
        task = message.tasks.add(method_name=method)
        task.model_spec.name = name
        task.model_spec.signature_name = signature
    return fill(message, *(rows or (example(x=0.25),)))


def test_classes_and_scores(served: Any) -> None:
    response = served.Classify(classification(example(x=0.25), example(x=1.0)))
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    assert [
        [(entry.label, entry.score) for entry in row.classes]
        for row in response.result.classifications
    ] == [[("low", 0.75), ("high", 0.25)], [("low", 0.0), ("high", 1.0)]]


def test_scores_alone(served: Any) -> None:
    response = served.Classify(classification(example(x=0.25), signature="scores"))
    (row,) = response.result.classifications
    assert [(entry.label, entry.score) for entry in row.classes] == [("", 0.75), ("", 0.25)]


def test_values(served: Any) -> None:
    response = served.Regress(regression(example(x=0.5), example(x=2, weight=3)))
    assert [row.value for row in response.result.regressions] == [5, 60]
    assert response.model_spec.signature_name == "regress"


def test_shared_context(served: Any) -> None:
    """Each example is merged over the context."""
    rows = example(x=2), example(x=2, weight=3)
    response = served.Regress(regression(*rows, context=example(weight=0.5)))
    assert [row.value for row in response.result.regressions] == [10, 60]


def test_predict_with_serialized_examples(served: Any) -> None:
    """A model of TensorFlow 1 answers Predict too, and by label."""
    request = predict_pb2.PredictRequest(output_filter=["scores"])
    request.model_spec.name = "examples"
    request.model_spec.version_label = "stable"
    row = np.array([example(x=0.25).SerializeToString()], object)
    request.inputs["inputs"].CopyFrom(to_proto(row))
    assert to_array(served.Predict(request).outputs["scores"]).tolist() == [[0.75, 0.25]]


def test_refusal_that_repeats_bytes_which_are_no_text(served: Any) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "examples"
    request.inputs["inputs"].CopyFrom(to_proto(np.array([b"\xf9\xff"], object)))
    with pytest.raises(grpc.RpcError, match=r"value: '\\xf9\\xff'") as refusal:
        served.Predict(request)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_multi_inference(served: Any) -> None:
    response = served.MultiInference(
        multi(("examples", "", CLASSIFY), ("examples", "regress", REGRESS))
    )
    first, second = response.results
    assert first.classification_result.classifications[0].classes[0].score == 0.75
    assert first.model_spec.signature_name == "serving_default"
    assert second.regression_result.regressions[0].value == 2.5
    assert second.model_spec.version.value == 1


@pytest.mark.parametrize(
    ("verb", "message", "code", "words"),
    [
        ("Classify", classification_pb2.ClassificationRequest(), "INVALID_ARGUMENT", "Missing Mod"),
        ("Classify", classification(), "INVALID_ARGUMENT", "Input is empty."),
        ("Classify", classification(context=example(x=1)), "INVALID_ARGUMENT", "Input is empty."),
        (
            "Classify",
            classification(example(x=1), signature="no"),
            "INVALID_ARGUMENT",
            "model examples version 1: No signature was found with the name: no",
        ),
        (
            "Classify",
            classification(example(x=1), signature="regress"),
            "FAILED_PRECONDITION",
            'at least one of "classes" or "scores"',
        ),
        (
            "Classify",
            classification(example(x=1), signature="other"),
            "FAILED_PRECONDITION",
            "No classification inputs found",
        ),
        (
            "Classify",
            classification(example(weight=1)),
            "INVALID_ARGUMENT",
            "Feature: x (data type: float) is required",
        ),
        (
            "Regress",
            regression(example(x=1), signature=""),
            "INVALID_ARGUMENT",
            "Expected one output Tensor.",
        ),
        (
            "Regress",
            regression(example(x=1), signature="scores"),
            "FAILED_PRECONDITION",
            "No regression outputs found",
        ),
        (
            "Regress",
            regression(example(x=1), signature="bad_regress"),
            "INVALID_ARGUMENT",
            "to be either [batch_size] or [batch_size, 1] but got [1, 2]",
        ),
        ("MultiInference", multi(), "INVALID_ARGUMENT", "no name specified"),
        ("MultiInference", multi(("no", "", CLASSIFY)), "NOT_FOUND", "Latest(no)"),
        (
            "MultiInference",
            multi(("examples", "", CLASSIFY), ("half", "", CLASSIFY)),
            "INVALID_ARGUMENT",
            "must access the same model",
        ),
        (
            "MultiInference",
            multi(("examples", "", CLASSIFY), ("examples", "", CLASSIFY)),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            "MultiInference",
            multi(("examples", "no", CLASSIFY)),
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: no",
        ),
        (
            "MultiInference",
            multi(("examples", "", "tensorflow/serving/predict")),
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
    ],
)
def test_refusals(served: Any, verb: str, message: Any, code: str, words: str) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        getattr(served, verb)(message)
    assert refusal.value.code().name == code
    assert words in refusal.value.details()
    assert "\n" not in refusal.value.details()


@pytest.fixture
def rest(served: Any, server: Server) -> Any:
    def ask(path: str, body: Any) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/{path}"
        try:
            with urllib.request.urlopen(url, json.dumps(body).encode()) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return ask


def test_json(rest: Any) -> None:
    assert rest("examples:classify", {"examples": [{"x": 0.25}, {"x": [1.0]}]}) == (
        200,
        {"results": [[["low", 0.75], ["high", 0.25]], [["low", 0.0], ["high", 1.0]]]},
    )
    body = {"signature_name": "regress", "context": {"weight": 0.5}, "examples": [{"x": 2.0}]}
    for path in ("examples", "examples/versions/1", "examples/labels/stable"):
        assert rest(f"{path}:regress", body) == (200, {"results": [10.0]})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "'examples' value to be a list"),
        ({"examples": []}, "at least one"),
        ({"examples": [1]}, "Example must be JSON object"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type"),
        ({"examples": [{"x": [1.0, "a"]}]}, "Unexpected element type in feature: x"),
        ({"examples": [{"x": {"b64": "?"}}]}, "base64"),
        ({"examples": [{"x": 10**400}]}, "out of range"),
        ({"examples": [{"x": "a"}]}, "x"),
        ({"signature_name": "no", "examples": [{"x": 1.0}]}, "with the name: no"),
    ],
)
def test_json_refusals(rest: Any, body: Any, words: str) -> None:
    status, answer = rest("examples:classify", body)
    assert status == 400
    assert words in answer["error"]
