"""The parts of the serving benchmark: a generator that counts what it sees, over gRPC and HTTP."""

import importlib.util
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from celflow.images import open_image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def harness():
    """benchmarks/parts/harness.py, as benchmarks/serving.py imports it."""
    spec = importlib.util.spec_from_file_location(
        "serving_benchmark", ROOT / "benchmarks/serving.py"
    )
    before = list(sys.path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield sys.modules["benchmarks.parts.harness"]
    sys.path[:] = before


@pytest.fixture(scope="module")
def bench(harness, tmp_path_factory) -> Iterator:
    """A Bench with its generator alone."""
    bench = object.__new__(harness.Bench)
    with harness.Worker("load", tmp_path_factory.mktemp("load") / "load.log") as bench.load:
        yield bench


def ask(bench, *words, **more):
    bench.start(*words, **more)
    time.sleep(0.5)
    return bench.stop()


def test_grpc_requests_are_counted(harness, bench, tmp_path):
    message = [harness.predict_request("half_plus", "x", np.array([1], np.float32))]
    with harness.Worker("echo", tmp_path / "echo.log") as echo:
        echo.send("")
        address = f"127.0.0.1:{int(echo.receive())}"
        closed = ask(bench, address, message, in_flight=4)
        paced = ask(bench, address, message, rate=20)
        broken = ask(bench, address, [b"\xff\xff"], in_flight=1)
    assert closed.requests > 10 and not closed.errors
    assert 0 < closed.p50 <= closed.p99
    assert closed.rate == closed.requests / closed.seconds
    assert 8 <= paced.requests <= 16, "a request leaves every 50 ms"
    assert broken.rate == 0 and "errors, such as" in broken.error_note


@pytest.fixture
def page() -> Iterator[tuple[str, list]]:
    """An HTTP server that answers every second POST with an error, and what it was sent."""
    seen: list = []

    class Page(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if len(seen) % 2 else 500)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/ask", seen
        server.shutdown()
        thread.join()


def test_http_requests_are_counted(bench, page):
    address, seen = page
    outcome = ask(bench, address, [b'{"image": 1}', b'{"image": 2}'], in_flight=1)
    assert len(seen) == outcome.requests > 10
    assert seen[:3] == [{"image": 1}, {"image": 2}, {"image": 1}]
    assert list(outcome.errors) == ["RuntimeError: 500 {}"]
    assert abs(outcome.errors["RuntimeError: 500 {}"] - outcome.requests / 2) <= 1


def test_pictures_are_pictures_and_the_same_every_time(harness):
    first, second = harness.sample_images(), harness.sample_images()
    assert first == second and len(set(first)) == 16
    assert open_image(first[0]).pixels.shape == (256, 256, 3)


def test_a_config_names_one_version_a_model(harness, tmp_path):
    made = harness.model_config(tmp_path, {"a": 1, "b": 7})
    assert [m.name for m in made.model_config_list.config] == ["a", "b"]
    b = made.model_config_list.config[1]
    assert b.base_path == f"{tmp_path}/b"
    assert list(b.model_version_policy.specific.versions) == [7]
