"""The client: what it returns, what it says when something is wrong, and what it never imports."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from celflow.errors import UserError
from serving import client as serving_client
from serving.client import (
    BadInput,
    Client,
    ModelNotFound,
    Prediction,
    ServerDown,
    ServerError,
    TensorInfo,
    default_address,
)
from serving.protos import predict_pb2, prediction_service_pb2_grpc
from serving.tensors import to_proto

from .model_server import ROOT, Repository, Server, free_port, model_config


@pytest.fixture(scope="module")
def pictures(
    server: Server, saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A client of a server with `pictures` 3 (stable), `painter` and `half`."""
    folder = tmp_path_factory.mktemp("repository")
    Repository(saved_models, folder / "pictures").add(3, "pictures")
    Repository(saved_models, folder / "painter").add(1, "painter")
    Repository(saved_models, folder / "half").add(1, "half_plus_1")
    config = model_config(
        {"name": "pictures", "base_path": folder / "pictures", "labels": {"stable": 3}},
        {"name": "painter", "base_path": folder / "painter"},
        {"name": "half", "base_path": folder / "half"},
    )
    with Client(server.address) as client:
        client.reload_config(config)
        yield client


def test_predict(pictures: Client, png: bytes) -> None:
    answer = pictures.predict("pictures", [png, png])
    assert (answer.model, answer.version) == ("pictures", 3)
    assert answer.outputs["scores"].dtype == np.float32
    assert answer.outputs["classes"].tolist() == [[b"dark", b"bright"]] * 2
    assert answer.milliseconds > 0


def test_classify_sorts_best_first(pictures: Client, png: bytes) -> None:
    for version in (None, 3, "stable"):
        first, second = pictures.classify("pictures", [png, png], version)
        assert first == second
        assert first.names == ("bright", "dark")
        assert (first.name, first.score) == ("bright", pytest.approx(0.8))
        assert first.scores[1] == pytest.approx(0.2)


def test_a_verdict_is_the_models_or_the_best_name(pictures: Client, png: bytes) -> None:
    answer = pictures.predict("pictures", [png, png])
    assert [one.verdict for one in answer.classifications()] == ["bright", "bright"]
    verdict = np.array([b"unsure", b"bright"], object)
    judged = Prediction("m", 1, {**answer.outputs, "verdict": verdict}, 1.0)
    assert [one.verdict for one in judged.classifications()] == ["unsure", "bright"]


def test_embed_and_render(pictures: Client, png: bytes) -> None:
    encodings = pictures.embed("pictures", [png, png])
    assert encodings.shape == (2, 2)
    assert np.linalg.norm(encodings, axis=1) == pytest.approx(1)
    drawn = pictures.render("painter", [png])
    assert drawn[0][1:4] == b"PNG"


def test_metadata_and_status(pictures: Client) -> None:
    signatures = pictures.metadata("pictures", "stable")
    assert set(signatures) == {"serving_default", "embed"}
    signature = signatures["serving_default"]
    assert signature.inputs == {"image_bytes": TensorInfo("string", (None,))}
    assert signature.outputs["scores"] == TensorInfo("float32", (None, 2))
    status, *_ = pictures.status("pictures")
    assert (status.version, status.state, status.error) == (3, "AVAILABLE", "")
    assert pictures.healthy()
    pictures.wait_available("pictures", 3, 1)


@pytest.mark.parametrize(
    ("ask", "kind", "words"),
    [
        (lambda c, png: c.predict("no", [png]), ModelNotFound, "does not serve no "),
        (lambda c, png: c.predict("half", [png], 7), ModelNotFound, "half version 7"),
        (lambda c, png: c.predict("half", [png], "old"), ModelNotFound, "half labelled old"),
        (lambda c, png: c.metadata("no"), ModelNotFound, "does not serve no "),
        (lambda c, png: c.status("no"), ModelNotFound, "does not serve no "),
        (lambda c, png: c.predict("", [png]), BadInput, "no name"),
        (lambda c, png: c.predict("half", [png]), BadInput, "Missing but required: {x}"),
        (lambda c, png: c.predict("pictures", [b"no image"]), BadInput, "image"),
        (lambda c, png: c.predict("pictures", []), BadInput, "no image to send"),
        (lambda c, png: c.predict("pictures", png), BadInput, "must be a list"),
        (lambda c, png: c.predict("pictures", ["name.png"]), BadInput, "must be a list"),
        (lambda c, png: c.classify("painter", [png]), BadInput, "painter is not a classifier"),
        (lambda c, png: c.render("pictures", [png]), BadInput, "not a picture model"),
        (lambda c, png: c.embed("painter", [png]), BadInput, '"embed" not found'),
        (lambda c, png: c.run("half", {"x": np.array([1j])}), BadInput, "complex128"),
        (lambda c, png: c.wait_available("no", 1, 0.1), ServerError, "does not know it"),
    ],
)
def test_errors_say_what_is_wrong(
    pictures: Client, png: bytes, ask: Any, kind: type[ServerError], words: str
) -> None:
    with pytest.raises(kind) as refusal:
        ask(pictures, png)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    codes = ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "DEADLINE_EXCEEDED")
    assert refusal.value.code in codes
    assert isinstance(refusal.value, UserError)


def test_server_down() -> None:
    address = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    with Client(address) as client:
        with pytest.raises(ServerDown) as refusal:
            client.predict("half", [b""])
        assert not client.healthy()
    assert str(refusal.value) == (
        f"no model server answers at {address}: start one with `celflow up` or `celflow serve`, "
        "or name another with --server"
    )
    assert refusal.value.code == "UNAVAILABLE"
    assert time.monotonic() - started < 3


def test_default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELFLOW_SERVER", raising=False)
    assert default_address() == "127.0.0.1:8500"
    monkeypatch.setenv("CELFLOW_SERVER", "models.example:80")
    assert default_address() == "models.example:80"


def test_proxy_of_the_environment_is_not_used_for_loopback(
    pictures: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with Client(pictures.address) as client:
        assert client.status("half")


class Flaky(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Fails a number of times with a code, then answers."""

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.calls = 0

    def Predict(self, request: Any, context: Any) -> Any:
        self.calls += 1
        if self.failures:
            context.abort(self.failures.pop(), "flaky")
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = 1
        response.outputs["y"].CopyFrom(to_proto(np.float32([self.calls])))
        return response


@pytest.fixture
def flaky() -> Iterator[tuple[Flaky, Client]]:
    server = grpc.server(ThreadPoolExecutor(2))
    service = Flaky()
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}", timeout=5) as client:
        yield service, client
    server.stop(None).wait()


def ask(client: Client) -> Prediction:
    return client.run("m", {"x": np.float32([1])})


def test_unavailable_is_retried(flaky: tuple[Flaky, Client]) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 3
    assert ask(client).outputs["y"].tolist() == [4]


@pytest.mark.parametrize("code", ["INTERNAL", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"])
def test_nothing_else_is_retried(flaky: tuple[Flaky, Client], code: str) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode[code]]
    with pytest.raises(ServerError, match="flaky") as refusal:
        ask(client)
    assert refusal.value.code == code
    assert service.calls == 1


def test_retries_end_with_the_timeout(flaky: tuple[Flaky, Client]) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 100
    client.timeout = 0.25
    started = time.monotonic()
    with pytest.raises(ServerDown):
        ask(client)
    assert time.monotonic() - started < 0.5


def test_server_without_a_health_service_is_healthy_when_it_answers(
    flaky: tuple[Flaky, Client],
) -> None:
    assert flaky[1].healthy()


def test_scores_and_classes_must_match() -> None:
    outputs = {"scores": np.zeros((1, 3), np.float32), "classes": np.zeros((1, 2), object)}
    with pytest.raises(ServerError, match=r"scores \[1, 3\] for classes \[1, 2\]"):
        Prediction("m", 1, outputs, 1.0).classifications()


CLIENT_ONLY = """
import sys, time
started = time.perf_counter()
import serving.client
seconds = time.perf_counter() - started
assert not [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras")]
print(seconds)
"""
CLIENT_THEN_TENSORFLOW = """
from serving.protos import predict_pb2, tensor_pb2
before = tensor_pb2.TensorProto
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
assert tensor_pb2.TensorProto is before
assert tf.__file__ and tf.constant(1).numpy() == 1
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
assert tf.make_ndarray(request.inputs["x"]).tolist() == [1, 2]
"""
TENSORFLOW_THEN_CLIENT = """
import sys
import tensorflow as tf
from serving.protos import predict_pb2
assert sys.modules["tensorflow"] is tf and tf.constant(1).numpy() == 1
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
assert tf.make_ndarray(request.inputs["x"]).tolist() == [1, 2]
"""


def python(code: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_client_imports_no_tensorflow_and_is_quick() -> None:
    assert min(float(python(CLIENT_ONLY)) for _ in range(3)) < 0.7


@pytest.mark.parametrize("code", [CLIENT_THEN_TENSORFLOW, TENSORFLOW_THEN_CLIENT])
def test_protos_live_with_tensorflow_in_either_order(code: str) -> None:
    python(code)


def test_error_kinds() -> None:
    assert issubclass(serving_client.LoadFailed, ServerError)
    assert issubclass(ServerError, UserError)
