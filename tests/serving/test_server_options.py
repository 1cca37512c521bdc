"""One server with every option at once: mutual TLS, a socket, batching, TF Lite, metrics."""

import json
import re
import struct
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.config_protos import BatchingParameters, MonitoringConfig, SSLConfig
from serving.protos import predict_pb2, prediction_service_pb2_grpc
from serving.tensors import to_array, to_proto

from .certificates import Authority
from .model_server import Repository, Server, model_config


class Everything:
    """A server that serves half (with a TF Lite twin), lite, pictures and slow."""

    def __init__(self, saved_models: Path, folder: Path) -> None:
        from . import tiny_models

        for kind in ("half_plus_1", "pictures", "slow", "examples"):
            Repository(saved_models, folder / kind).add(1, kind)
        half = folder / "half_plus_1" / "1"
        (folder / "lite").mkdir()
        tiny_models.save_lite(folder / "lite" / "1", saved_models / "half_plus_2")
        (half / "model.tflite").write_bytes((folder / "lite/1/model.tflite").read_bytes())
        tiny_models.add_warmup(half, [1.0])
        self.authority = Authority()
        server = self.authority.issue("server")
        files = {
            "ssl": SSLConfig(
                server_key=server.key.decode(),
                server_cert=server.certificate.decode(),
                custom_ca=self.authority.certificate.decode(),
                client_verify=True,
            ),
            "batching": text_format.Parse(
                "max_batch_size { value: 4 } batch_timeout_micros { value: 20000 }",
                BatchingParameters(),
            ),
            "monitoring": MonitoringConfig(prometheus_config={"enable": True, "path": "/m"}),
            "models": model_config(
                *(
                    {"name": path.name, "base_path": path}
                    for path in folder.iterdir()
                    if path.is_dir()
                )
            ),
        }
        for name, message in files.items():
            (folder / name).write_text(text_format.MessageToString(message))
        self.socket = folder / "grpc.sock"
        self.server = Server(
            folder,
            f"--model_config_file={folder / 'models'}",
            f"--ssl_config_file={folder / 'ssl'}",
            f"--batching_parameters_file={folder / 'batching'}",
            f"--monitoring_config_file={folder / 'monitoring'}",
            f"--grpc_socket_path={self.socket}",
            "--enable_batching",
            "--prefer_tflite_model",
            "--rest_api_timeout_in_ms=2000",
            "--num_request_iterations_for_warmup=3",
            "--grpc_channel_arguments=grpc.max_receive_message_length=100000",
            "--enable_grpc_healthcheck_service=false",
        )

    def channel(self, address: str, certified: bool = True) -> Any:
        client = self.authority.issue("client")
        credentials = grpc.ssl_channel_credentials(
            self.authority.certificate,
            client.key if certified else None,
            client.certificate if certified else None,
        )
        options = [("grpc.ssl_target_name_override", "127.0.0.1")]
        return grpc.secure_channel(address, credentials, options)


@pytest.fixture(scope="module")
def everything(
    saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Everything]:
    everything = Everything(saved_models, tmp_path_factory.mktemp("everything"))
    assert everything.server.address
    yield everything
    assert everything.server.stop() == 0
    assert "Traceback" not in everything.server.log.read_text()


@pytest.fixture(scope="module")
def stub(everything: Everything) -> Iterator[Any]:
    with everything.channel(everything.server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(name: str, **inputs: Any) -> Any:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    for key, value in inputs.items():
        message.inputs[key].CopyFrom(to_proto(value))
    return message


def y(response: Any) -> list[float]:
    values: list[float] = to_array(response.outputs["y"]).tolist()
    return values


def test_mutual_tls(everything: Everything, stub: Any) -> None:
    assert y(stub.Predict(request("lite", x=np.float32([2])))) == [3]
    with everything.channel(everything.server.address, certified=False) as channel:
        nobody = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refusal:
            nobody.Predict(request("lite", x=np.float32([2])), timeout=5)
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE


def test_unix_socket(everything: Everything) -> None:
    with everything.channel(f"unix:{everything.socket}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert y(stub.Predict(request("lite", x=np.float32([2])))) == [3]


def test_lite_models(stub: Any) -> None:
    """half_plus_1 has a TF Lite file too, of half_plus_2, and that is preferred."""
    assert y(stub.Predict(request("half_plus_1", x=np.float32([2, 4, 6])))) == [3, 4, 5]
    assert y(stub.Predict(request("lite", x=np.float32([8])))) == [6]
    with pytest.raises(grpc.RpcError, match="input 'x' must be float32, but is int32"):
        stub.Predict(request("lite", x=np.int32([2])))


def test_warm_up_is_repeated(everything: Everything) -> None:
    assert (
        "Warmed up {name: half_plus_1 version: 1}: 3 requests" in everything.server.log.read_text()
    )


def test_batches(stub: Any, png: bytes) -> None:
    """A broken picture fails alone; each neighbour gets its own answer."""
    pictures = [png, b"rubbish", png, png]

    def ask(picture: bytes) -> Any:
        try:
            return stub.Predict(request("pictures", image_bytes=np.array([picture], object)))
        except grpc.RpcError as error:
            return error

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, pictures))
    assert [isinstance(answer, grpc.RpcError) for answer in answers] == [False, True, False, False]
    assert answers[1].code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError, match="Task size 5 is larger than maximum input batch size"):
        stub.Predict(request("pictures", image_bytes=np.array([png] * 5, object)))


def test_signature_without_a_batch_dimension_runs_alone(stub: Any) -> None:
    assert stub.Predict(request("slow", seconds=np.float32(0))).outputs["turns"].float_val


def test_bombs(stub: Any) -> None:
    """A few bytes that would unfold to gigabytes do not reach a decoder."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    with pytest.raises(grpc.RpcError, match="position 1 has 20000 x 20000 pixels") as refusal:
        stub.Predict(request("pictures", image_bytes=np.array([b"a", bomb], object)))
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_channel_arguments_reach_grpc(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        stub.Predict(request("lite", x=np.zeros(50_000, np.float32)))
    assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_health_service_may_be_off(everything: Everything) -> None:
    with everything.channel(everything.server.address) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED


def get(everything: Everything, path: str, body: Any = None) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{everything.server.rest_port}{path}"
    try:
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(url, data) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_rest_timeout(everything: Everything) -> None:
    status, body = get(everything, "/v1/models/slow:predict", {"inputs": 2.5})
    assert (status, json.loads(body)) == (504, {"error": "the request took longer than 2 s"})


def test_metrics(everything: Everything, stub: Any) -> None:
    with pytest.raises(grpc.RpcError):
        stub.Predict(request("nobody"))
    with pytest.raises(grpc.RpcError):
        stub.Predict(request("lite", z=np.float32([1])))
    stub.Predict(request("lite", x=np.float32([1])))
    get(everything, "/v1/models/examples:classify", {"examples": [{"x": 0.5}] * 3})
    status, page = get(everything, "/m")
    assert status == 200
    metrics = dict(
        line.rsplit(" ", 1) for line in page.decode().splitlines() if not line.startswith("#")
    )
    count = ":tensorflow:serving:request_count"
    assert int(metrics[f'{count}{{model_name="lite",status="OK"}}']) >= 1
    assert int(metrics[f'{count}{{model_name="lite",status="INVALID_ARGUMENT"}}']) >= 1
    assert "nobody" not in page.decode(), "the page must not grow with what anybody asks for"
    examples = ":tensorflow:serving:request_example_count_total"
    assert metrics[f'{examples}{{model="examples"}}'] == "3"
    counts = ":tensorflow:serving:request_example_counts_count"
    assert int(metrics[f'{counts}{{model="examples"}}']) >= 1
    latency = ':tensorflow:serving:request_latency_{}{{model_name="{}",API="{}",entrypoint="{}"'
    assert metrics[latency.format("count", "examples", "Classify", "REST") + "}"] == "1"
    runtime = ':tensorflow:serving:runtime_latency_count{{model_name="{}",API="{}",runtime="TF1"}}'
    assert int(metrics[runtime.format("lite", "Predict")]) >= 1
    assert metrics[runtime.format("examples", "Classify")] == "1"
    loads = ":tensorflow:cc:saved_model:load_{}"
    paths = [name for name in metrics if name.startswith(loads.format("attempt_count"))]
    assert all(name.endswith('/1",status="success"}') for name in paths) and len(paths) == 5
    assert len([name for name in metrics if name.startswith(loads.format("latency"))]) == 5
    warmup = ":tensorflow:serving:model_warmup_latency_count"
    assert [v for name, v in metrics.items() if name.startswith(warmup)] == ["1"]
    session = ":tensorflow:serving:batching_session:"
    queued = metrics[f'{session}queuing_latency_count{{thread_pool_name="batch_threads"}}']
    assert int(queued) >= 1 and int(metrics[f"{session}wrapped_run_count{{}}"]) >= 1
    buckets = [
        int(value)
        for name, value in metrics.items()
        if name.startswith(latency.format("bucket", "lite", "Predict", "GRPC"))
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] >= 2
    assert re.search(r'le="\+Inf"} \d+$', page.decode(), re.MULTILINE)
    assert get(everything, "/monitoring/prometheus/metrics")[0] == 404
