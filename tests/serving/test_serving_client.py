"""The client: what it returns, what it says when something is wrong, and what it never imports."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from celflow.errors import UserError
from serving.client import (
    BadInput,
    Client,
    LoadFailed,
    ModelNotFound,
    Prediction,
    ServerDown,
    ServerError,
    TensorInfo,
    connection,
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


def test_embed_and_draw(pictures: Client, png: bytes) -> None:
    encodings = pictures.embed("pictures", [png, png])
    assert encodings.shape == (2, 2)
    assert np.linalg.norm(encodings, axis=1) == pytest.approx(1)
    drawn = pictures.draw("painter", png).output("image_png")
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
        (lambda c, png: c.draw("pictures", png, sharpness=1.0), BadInput, "has no sharpness"),
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


@contextmanager
def serving(service: Any, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """A gRPC server with this service; gives its address."""
    server = grpc.server(ThreadPoolExecutor(16))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    if credentials:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def flaky() -> Iterator[tuple[Flaky, Client]]:
    service = Flaky()
    with serving(service) as address, Client(address, timeout=5) as client:
        yield service, client


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


def test_patience_outlasts_a_restart(
    flaky: tuple[Flaky, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 6
    monkeypatch.setattr(connection, "_LONGEST_WAIT_SECONDS", 0.1)
    client.patience = client.timeout
    assert ask(client).outputs["y"].tolist() == [7]


def test_a_busy_server_is_not_said_to_be_missing(flaky: tuple[Flaky, Client]) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 2
    client.patience = 0.1
    with pytest.raises(ServerDown, match="is unavailable: flaky"):
        ask(client)


def test_server_without_a_health_service_is_healthy_when_it_answers(
    flaky: tuple[Flaky, Client],
) -> None:
    assert flaky[1].healthy()


def test_scores_and_classes_must_match() -> None:
    outputs = {"scores": np.zeros((1, 3), np.float32), "classes": np.zeros((1, 2), object)}
    with pytest.raises(ServerError, match=r"scores \[1, 3\] for classes \[1, 2\]"):
        Prediction("m", 1, outputs, 1.0).classifications()


def test_requests_spread_over_the_servers_behind_one_name() -> None:
    services = Flaky(), Flaky()
    with serving(services[0]) as one, serving(services[1]) as two, Client(f"ipv4:{one},{two}") as c:
        for _ in range(200):  # the second connection may come later than the first
            ask(c)
            if all(service.calls for service in services):
                return
            time.sleep(0.01)
    raise AssertionError("one server got all requests")


def test_tls() -> None:
    key, certificate = self_signed("127.0.0.1")
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    with serving(Flaky(), credentials) as address:
        trusting = grpc.ssl_channel_credentials(certificate)
        with Client(address, credentials=trusting) as client:
            assert ask(client).outputs["y"].tolist() == [1]
        with Client(address, patience=0) as client, pytest.raises(ServerDown):
            ask(client)


def self_signed(address: str) -> tuple[bytes, bytes]:
    """Key and certificate of an IP address, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(pem),
    )


class Counting(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the number in `image_bytes`, later ones sooner, and counts who is there."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.here = self.most = 0

    def Predict(self, request: Any, context: Any) -> Any:
        with self.lock:
            self.here += 1
            self.most = max(self.most, self.here)
        number = request.inputs["image_bytes"].string_val[0]
        if number.isdigit():
            time.sleep(0.02 / (1 + int(number) % 5))
        with self.lock:
            self.here -= 1
        if not number.isdigit():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a number")
        response = predict_pb2.PredictResponse()
        response.outputs["y"].CopyFrom(to_proto(np.array([number], object)))
        return response


@pytest.fixture
def counting() -> Iterator[tuple[Counting, Client]]:
    service = Counting()
    with serving(service) as address, Client(address, timeout=5) as client:
        yield service, client


def number(answer: Prediction | BadInput) -> int:
    assert isinstance(answer, Prediction)
    return int(answer.outputs["y"][0])


def test_predict_many_keeps_the_order_and_bounds_the_flight(
    counting: tuple[Counting, Client],
) -> None:
    service, client = counting
    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for taken in range(100):
            yield str(taken).encode()

    answers = client.predict_many("m", images(), in_flight=4)
    for index, answer in enumerate(answers):
        assert number(answer) == index
        assert taken <= index + 4, "images are read as answers are taken"
    assert index == 99
    assert 2 <= service.most <= 4


def test_predict_many_takes_files_and_names_those_that_fail(
    counting: tuple[Counting, Client], tmp_path: Path
) -> None:
    good, bad, missing = (tmp_path / name for name in ("good", "bad", "missing"))
    good.write_bytes(b"1")
    bad.write_bytes(b"no")
    answers = list(counting[1].predict_many("m", [good, bad, missing, b"4"]))
    assert (number(answers[0]), number(answers[3])) == (1, 4)
    assert str(answers[1]) == f"{bad}: the model server refuses m: not a number"
    assert str(answers[2]) == f"{missing} cannot be read: no such file or directory"


def test_predict_many_stops_when_nobody_takes_answers(counting: tuple[Counting, Client]) -> None:
    answers = counting[1].predict_many("m", (b"%d" % n for n in range(10**9)), in_flight=4)
    assert number(next(answers)) == 0
    answers.close()


def test_predict_many_raises_what_is_not_one_images_fault() -> None:
    with Client(f"127.0.0.1:{free_port()}", patience=0.1) as client, pytest.raises(ServerDown):
        list(client.predict_many("m", [b"1"] * 50))


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
    assert issubclass(LoadFailed, ServerError)
    assert issubclass(ServerError, UserError)
