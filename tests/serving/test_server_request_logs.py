"""Request logs: `logging_config`, what is in the files, and what reads them again."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celflow.errors import UserError
from serving import request_logs
from serving.protos import (
    model_server_config_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from serving.server.metrics import Metrics
from serving.server.repository import model_config as configs
from serving.server.request_log import MAX_WAITING, RequestLogs
from serving.tensors import to_array, to_proto

from .model_server import Repository, Server, until


def config(base_path: Path, log: Path, rate: float = 1.0, kind: str = ""):
    message = model_server_config_pb2.ModelServerConfig()
    model = message.model_config_list.config.add(
        name="half", base_path=str(base_path), model_platform="tensorflow"
    )
    model.logging_config.sampling_config.sampling_rate = rate
    model.logging_config.log_collector_config.filename_prefix = str(log)
    model.logging_config.log_collector_config.type = kind
    return message


def request(value: float) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "half"
    message.inputs["x"].CopyFrom(to_proto(np.float32([value])))
    return message


def records(log: Path) -> list:
    return [record for file in request_logs.files(log) for record in request_logs.read(file)]


@pytest.fixture(scope="module")
def served(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    folder = tmp_path_factory.mktemp("logs")
    models = Repository(saved_models, folder / "half")
    models.add(1, "half_plus_2")
    file = folder / "models.config"
    file.write_text(text_format.MessageToString(config(models.base_path, folder / "log/a")))
    flags = [f"--model_config_file={file}", "--file_system_poll_wait_seconds=0.2"]
    monitoring = folder / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/m" }')
    with (
        Server(folder, *flags, f"--monitoring_config_file={monitoring}") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        yield SimpleNamespace(
            server=server, stub=stub, log=folder / "log/a", models=models, folder=folder
        )
        assert "Traceback" not in server.log.read_text()


def ask_by_rest(served, path: str, body: dict) -> dict:
    url = f"http://127.0.0.1:{served.server.rest_port}{path}"
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as answer:
        return dict(json.loads(answer.read()))


def test_requests_of_both_apis_are_there_with_their_answers_and_warm_a_version_up(served):
    for value in (1.0, 2.0):
        served.stub.Predict(request(value))
    ask_by_rest(served, "/v1/models/half:predict", {"instances": [3.0]})
    with pytest.raises(grpc.RpcError):
        served.stub.Predict(predict_pb2.PredictRequest(model_spec={"name": "half"}))
    until(lambda: len(records(served.log)) == 3)
    for value, record in zip((1.0, 2.0, 3.0), records(served.log), strict=True):
        assert to_array(record.predict_log.request.inputs["x"]).tolist() == [value]
        assert to_array(record.predict_log.response.outputs["y"]).tolist() == [value / 2 + 2]
        assert record.log_metadata.model_spec.version.value == 1
        assert abs(record.log_metadata.timestamp_secs - time.time()) < 60
        assert record.log_metadata.sampling_config.sampling_rate == 1
    page = urllib.request.urlopen(f"http://127.0.0.1:{served.server.rest_port}/m").read().decode()
    logged = ':tensorflow:serving:request_log_count{model_name="half",status_code="OK"}'
    assert f"{logged} 3" in page

    # The file is what a version is warmed up with, as it is.
    copying = served.models.base_path / "copying"
    folder = served.models.add(2, "half_plus_1")
    folder.rename(copying)
    extra = copying / "assets.extra"
    extra.mkdir()
    (file,) = request_logs.files(served.log)
    (extra / "tf_serving_warmup_requests").write_bytes(file.read_bytes())
    copying.rename(served.models.base_path / "3")
    until(lambda: "Warmed up {name: half version: 3}: 3" in served.server.log.read_text())


def applied(folder: Path, rate: float = 1.0, chance=lambda: 0.0) -> RequestLogs:
    logs = RequestLogs(Metrics(), chance)
    logs.apply(config(folder, folder / "log", rate))
    return logs


def answer() -> predict_pb2.PredictResponse:
    return predict_pb2.PredictResponse(model_spec={"name": "half", "version": {"value": 7}})


def test_a_share_is_logged_and_other_models_are_not(tmp_path):
    numbers = iter([0.1, 0.3, 0.24, 0.9])
    logs = applied(tmp_path, 0.25, lambda: next(numbers))
    for value in range(4):
        logs.add("half", "predict_log", request(value), answer())
    logs.add("other", "predict_log", request(9), answer())
    logs.flush(10)
    logged = [to_array(r.predict_log.request.inputs["x"]).item() for r in records(tmp_path / "log")]
    assert logged == [0, 2]


def test_what_is_too_much_is_dropped_and_counted(tmp_path):
    metrics = Metrics()
    logs = RequestLogs(metrics, lambda: 0.0)
    logs._started = True  # nobody writes
    logs.apply(config(tmp_path, tmp_path / "log"))
    for value in range(MAX_WAITING + 5):
        logs.add("half", "predict_log", request(value), answer())
    assert 'status_code="RESOURCE_EXHAUSTED"} 5' in metrics.page()


def test_a_log_that_cannot_be_written_is_said_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    metrics = Metrics()
    logs = RequestLogs(metrics, lambda: 0.0)
    logs.apply(config(tmp_path, tmp_path / "file/log"))
    for value in range(3):
        logs.add("half", "predict_log", request(value), answer())
    logs.flush(10)
    assert 'status_code="INTERNAL"} 3' in metrics.page()
    assert caplog.text.count("Requests of half are not logged") == 1


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("written")
    logs = applied(folder)
    for value in range(5):
        logs.add("half", "predict_log", request(value), answer())
    logs.flush(10)
    (file,) = request_logs.files(folder / "log")
    return file.read_bytes()


@given(share=st.floats(0, 1))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_that_was_cut_off_gives_the_records_that_are_whole(written, tmp_path, share):
    whole = len(written) // 5
    end = round(share * len(written))
    file = tmp_path / "cut"
    file.write_bytes(written[:end])
    assert len(list(request_logs.read(file))) == end // whole


@given(rubbish=st.binary(max_size=64))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_rubbish_is_an_end(tmp_path, rubbish):
    file = tmp_path / "rubbish"
    file.write_bytes(rubbish)
    list(request_logs.read(file))


@pytest.mark.parametrize(
    ("rate", "kind", "prefix", "said"),
    [
        (1.5, "", "/log", "sampling_rate 1.5 is not between 0 and 1"),
        (1.0, "kafka", "/log", "Cannot find LogCollector::Factory for type: kafka"),
        (1.0, "", "log", "not an absolute path"),
    ],
)
def test_a_config_that_cannot_be_followed(tmp_path, rate, kind, prefix, said):
    file = tmp_path / "models.config"
    file.write_text(text_format.MessageToString(config(tmp_path, Path(prefix), rate, kind)))
    with pytest.raises(UserError, match=said):
        configs.read(file)
