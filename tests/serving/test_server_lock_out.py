"""Clients that hold a server's places without using them lock nobody out."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from serving.client import Client

from .model_server import Repository, Server, model_config, until

SILENT_CALLS = 95
PARTIAL_BODIES = 80
ASKED = 30
TIMEOUT_SECONDS = 3
PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.fixture(scope="module")
def half(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, with `half` and short time limits for REST."""
    folder = tmp_path_factory.mktemp("locked")
    Repository(saved_models, folder / "half").add(1, "half_plus_1")
    timeout = f"--rest_api_timeout_in_ms={1000 * TIMEOUT_SECONDS}"
    with Server(folder, "--model_name=half", f"--model_base_path={folder / 'half'}", timeout) as it:
        with Client(it.address) as client:
            client.reload_config(model_config({"name": "half", "base_path": folder / "half"}))
        yield it
        assert "Traceback" not in it.log.read_text()


def ask(connection: http.client.HTTPConnection) -> int:
    connection.request("POST", "/v1/models/half:predict", json.dumps({"instances": [2.0]}))
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_grpc_calls_without_a_message(half: Server) -> None:
    """Headers only, over one connection: so many that each thread and each place would be taken."""
    done = threading.Event()

    def nothing() -> Iterator[bytes]:
        done.wait()
        yield from ()

    with grpc.insecure_channel(half.address) as channel, Client(half.address) as client:
        method = channel.stream_unary(PREDICT)
        silent = [method.future(nothing()) for _ in range(SILENT_CALLS)]
        time.sleep(1)  # the headers are there
        assert not any(call.done() for call in silent)
        for _ in range(ASKED):
            assert client.healthy()
            assert client.status("half")[0].state == "AVAILABLE"
        connection = http.client.HTTPConnection("127.0.0.1", half.rest_port, timeout=20)
        assert [ask(connection) for _ in range(ASKED)] == [200] * ASKED
        done.set()
        for call in silent:
            call.cancel()


def test_rest_bodies_that_never_arrive(half: Server) -> None:
    """They take nobody's place, and end when their time is over."""
    lines = []
    for _ in range(PARTIAL_BODIES):
        line = socket.create_connection(("127.0.0.1", half.rest_port), timeout=20)
        line.sendall(
            b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
        )
        lines.append(line)
    time.sleep(0.5)
    connection = http.client.HTTPConnection("127.0.0.1", half.rest_port, timeout=20)
    assert [ask(connection) for _ in range(ASKED)] == [200] * ASKED
    with Client(half.address) as client:
        assert client.status("half")[0].state == "AVAILABLE"

    def answered(line: socket.socket) -> bytes:
        with line:
            return line.recv(100)

    begin = time.monotonic()
    assert all(b"408" in answered(line) for line in lines)
    assert time.monotonic() - begin < 10 * TIMEOUT_SECONDS


def test_an_upload_that_breaks_off_is_no_error_of_the_server(half: Server) -> None:
    line = socket.create_connection(("127.0.0.1", half.rest_port), timeout=20)
    line.sendall(b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    line.close()
    connection = http.client.HTTPConnection("127.0.0.1", half.rest_port, timeout=20)
    until(lambda: ask(connection) == 200)
    assert "Traceback" not in half.log.read_text()


def test_keep_alive_requests_do_not_wait_for_tcp(half: Server) -> None:
    """Without TCP_NODELAY each takes 40 ms longer, whatever the machine."""
    connection = http.client.HTTPConnection("127.0.0.1", half.rest_port, timeout=20)
    took = []
    for _ in range(ASKED):
        begin = time.perf_counter()
        assert ask(connection) == 200
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.035
