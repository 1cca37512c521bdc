"""The server as a process: bad flags, ports in use, signals, overload."""

import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from serving.client import Client, ModelNotFound, Prediction, ServerDown, ServerError
from serving.server import flags as command_line

from .model_server import ROOT, Repository, Server, free_port, model_config, until


def serve(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving.server", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--model_config_file or --models_folder"),
        (["--model_base_path=/m", "--no_such_flag=1"], "unrecognized arguments"),
        (["--model_base_path=/m", "--port=99999"], "99999 is not a port"),
        (["--model_base_path=/m", "--port", "x"], "invalid port value"),
        (["--model_base_path=/m", "--grpc_max_threads=0"], "at least 1"),
        (["--model_base_path=/m", "--port=7", "--rest_api_port=7"], "choose two ports"),
        (["--model_base_path=/m", "--batching_parameters_file=/b"], "without --enable_batching"),
        (["--model_base_path=/m", "--grpc_channel_arguments=a"], "'a' is not name=value"),
        (["--model_base_path=/m", "--model_config_file_poll_wait_seconds=-1"], "seconds"),
        (
            ["--model_base_path=/m", "--allow_version_labels_for_unavailable_models=maybe"],
            "neither true nor false",
        ),
    ],
)
def test_bad_flags(flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command_line.parse(flags)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("flag", command_line.UNSUPPORTED)
def test_other_flags_of_the_real_server(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    for word in (f"--{flag}", f"--{flag}=1"):
        with pytest.raises(SystemExit) as end:
            command_line.parse(["--model_base_path=/m", word])
        assert end.value.code == 2
        err = capsys.readouterr().err
        assert f"--{flag} is not supported here" in err
        assert err.count("\n") == 1


def test_defaults_are_those_of_the_real_server() -> None:
    flags = command_line.parse(["--model_base_path=/m"])
    assert (flags.port, flags.rest_api_port, flags.rest_api_timeout_in_ms) == (8500, 0, 30_000)
    assert (flags.model_name, flags.file_system_poll_wait_seconds) == ("default", 1)
    assert (flags.max_num_load_retries, flags.load_retry_interval_micros) == (5, 60_000_000)
    assert flags.enable_model_warmup
    assert not flags.enable_batching
    assert not flags.enable_grpc_healthcheck_service
    assert not flags.prefer_tflite_model


@pytest.mark.parametrize(
    ("words", "intra", "inter"),
    [
        ([], 0, 0),
        (["--tensorflow_session_parallelism=3"], 3, 3),
        (["--tensorflow_session_parallelism=3", "--tensorflow_intra_op_parallelism=1"], 1, 3),
    ],
)
def test_threads_of_tensorflow(words: list[str], intra: int, inter: int) -> None:
    flags = command_line.parse(["--model_base_path=/m", *words])
    assert (flags.intra_op_threads, flags.inter_op_threads) == (intra, inter)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command_line.parse(["--version"])
    assert end.value.code == 0
    assert "TensorFlow ModelServer: 2." in capsys.readouterr().out


def test_channel_arguments() -> None:
    words = "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.name=a"
    flags = command_line.parse(["--model_base_path=/m", words])
    expected = (("grpc.max_connection_age_ms", 2000), ("grpc.name", "a"))
    assert flags.grpc_channel_arguments == expected


def test_both_ways_to_write_a_flag() -> None:
    one = command_line.parse(["--model_base_path=/m", "--port=1", "--model_name=n"])
    two = command_line.parse(["--model_base_path", "/m", "--port", "1", "--model_name", "n"])
    assert one == two
    assert (one.port, one.rest_api_port, one.host) == (1, 0, "127.0.0.1")
    allow = "--allow_version_labels_for_unavailable_models"
    base = ["--model_base_path=/m"]
    for words, expected in [([], False), ([allow], True), ([f"{allow}=false"], False)]:
        flags = command_line.parse([*base, *words])
        assert flags.allow_version_labels_for_unavailable_models is expected


def test_bad_flag_ends_with_2() -> None:
    assert serve("--port=x").returncode == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("model_config_list { confg {} }", 'no field named "confg"'),
        ("model_config_list { config { name: 'm' base_path: 'm' } }", "absolute path"),
        (b"\xff\xfe", "is not text"),
        (None, "cannot be read: no such file or directory"),
    ],
)
def test_bad_config_file_is_one_line(
    tmp_path: Path, content: str | bytes | None, words: str
) -> None:
    path = tmp_path / "models.config"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = serve(f"--model_config_file={path}")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert str(path) in ended.stderr
    assert words in ended.stderr


@pytest.mark.parametrize(
    ("flag", "content", "words"),
    [
        ("batching_parameters_file", "max_batch_size { value: 0 }", "max_batch_size is 0"),
        ("monitoring_config_file", "prometheus { enable: 1 }", 'no field named "prometheus"'),
        ("ssl_config_file", "server_key: 'a' server_cert: 'b'", "server_key must be the text"),
        (
            "ssl_config_file",
            "server_key: '-----BEGIN a' server_cert: '-----BEGIN b'",
            "the key and certificates do not fit",
        ),
    ],
)
def test_other_bad_files_are_one_line(tmp_path: Path, flag: str, content: str, words: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    ended = serve(f"--model_base_path={tmp_path}", "--enable_batching", f"--{flag}={path}")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert str(path) in ended.stderr
    assert words in ended.stderr


NO_TENSORFLOW = """
import sys

def refuse(event, about):
    if event == "import" and about[0] == "tensorflow":
        raise RuntimeError("too early")

sys.addaudithook(refuse)
"""


@pytest.mark.parametrize("flag", ["--port", "--rest_api_port"])
def test_port_in_use_is_one_line(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is seen before TensorFlow is loaded, which takes seconds."""
    (tmp_path / "sitecustomize.py").write_text(NO_TENSORFLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"--port": 0, "--rest_api_port": free_port(), flag: port}
        ended = serve(f"--model_base_path={tmp_path}", *(f"{f}={p}" for f, p in ports.items()))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert ended.stderr.rstrip().endswith(f"choose another {flag}")


def test_second_interrupt_quits_at_once(tmp_path: Path) -> None:
    with Server(tmp_path, f"--model_base_path={tmp_path}") as server:
        until(lambda: listens(server.rest_port))
        time.sleep(0.2)  # its handlers come right after its sockets
        while server.process.poll() is None:  # two may become one while C++ code is loaded
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert server.process.returncode == 130
        assert "Traceback" not in server.log.read_text()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_overload_and_drain(saved_models: Path, tmp_path: Path) -> None:
    """A broken model beside a slow one, too many requests, then Ctrl-C and a parent's SIGTERM.

    One process for all of it, because each takes seconds to start.
    """
    slow = Repository(saved_models, tmp_path / "slow")
    slow.add(1, "slow")
    broken = Repository(saved_models, tmp_path / "broken")
    broken.add_broken(1)
    config = tmp_path / "models.config"
    models = [
        {"name": "slow", "base_path": slow.base_path},
        {"name": "broken", "base_path": broken.base_path, "labels": {"stable": 1}},
        {"name": "absent", "base_path": tmp_path / "nowhere"},
    ]
    config.write_text(text_format.MessageToString(model_config(*models)))
    flags = (f"--model_config_file={config}", "--grpc_max_threads=2")
    with Server(tmp_path, *flags, rest=False) as server, Client(server.address) as client:
        assert client.healthy(), "a model that fails does not make the server unhealthy"
        assert client.status("broken")[0].error
        with pytest.raises(ModelNotFound):
            client.status("absent")
        log = server.log.read_text()
        assert f"gRPC on {server.address}; models: slow 1\n" in log

        def ask(seconds: float) -> Prediction | ServerError:
            try:
                return client.run("slow", {"seconds": np.float32(seconds)})
            except ServerError as error:
                return error

        with ThreadPoolExecutor(30) as threads:
            answers = list(threads.map(ask, [0.2] * 30))
            refused = [answer for answer in answers if isinstance(answer, ServerError)]
            assert {error.code for error in refused} == {"RESOURCE_EXHAUSTED"}
            assert len(answers) - len(refused) >= 16, "two run, others wait, some places are kept"
            assert refused

            under_way = threads.submit(ask, 2.0)
            time.sleep(0.5)
            server.process.send_signal(signal.SIGINT)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with Client(server.address, timeout=0.1) as late, pytest.raises(ServerDown):
                late.status("slow")
            assert isinstance(under_way.result(), Prediction)
        assert server.process.wait(15) == 0
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("off", ["--port=0", "--rest_api_port=0"])
def test_an_api_that_is_off_and_a_log_for_machines(
    saved_models: Path, tmp_path: Path, off: str
) -> None:
    (tmp_path / "models").mkdir()
    Repository(saved_models, tmp_path / "models/half").add(1, "half_plus_1")
    flags = [f"--models_folder={tmp_path / 'models'}", "--log_format=json", off]
    with Server(tmp_path, *flags) as server:
        until(lambda: "models: half 1" in server.log.read_text(), 60)
        lines = server.log.read_text().splitlines()
        says_where = next(line for line in lines if "models: half 1" in line)
        assert ("gRPC on" in says_where) == (off != "--port=0")
        assert ("REST on" in says_where) == (off == "--port=0")
        events = [json.loads(line) for line in lines if line.startswith("{")]
        assert any("Successfully loaded" in event["message"] for event in events)
        assert {event["severity"] for event in events} <= {"INFO", "WARNING"}
        assert server.stop() == 0


def test_somebody_has_to_be_able_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.parse(["--model_base_path=/m", "--port=0"])
    assert "are all off" in capsys.readouterr().err
