"""A normal client beside attackers: no error, about the same latency; and the memory comes back."""

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from serving.client import Client

from . import attacks
from .attacks import ATTACKS
from .model_server import ROOT, Repository, Server, model_config

WINDOWS = 3
WINDOW_SECONDS = 1.0
PAUSE_SECONDS = 0.005
FLOOR_SECONDS = 0.25
"""Attackers and server share the cores of the machine that runs the tests."""

TRIES = 4
"""Windows are asked for anew where other tests kept the cores busy; an error is an error."""


@dataclass
class Normal:
    """What normal clients saw: the 99th percentile of latency in the middle window, and errors."""

    seconds: float
    failures: list[str]


class Attacked:
    """A server that is attacked, and normal clients of both its APIs."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.process = psutil.Process(server.process.pid)
        self._use()
        self.unharmed = self.ask()
        self.memory = self.process.memory_info().rss

    def _use(self) -> None:
        """Warm it up, with some large requests, too, as any server has them now and then."""
        grpc_port = int(self.server.address.rpartition(":")[2])
        for _ in range(2):
            attacks.predict(grpc_port)(attacks.large_pictures(2).SerializeToString())
            assert attacks.post(self.server.rest_port, "half", attacks.LARGE_JSON) == 200
        self.ask()

    def ask(self) -> Normal:
        """Ask for some windows of time, over both APIs."""
        took: list[list[float]] = [[] for _ in range(WINDOWS)]
        failures: list[str] = []
        end = time.monotonic() + WINDOWS * WINDOW_SECONDS

        def repeat(question: object) -> None:
            while (left := end - time.monotonic()) > 0:
                begin = time.perf_counter()
                try:
                    question()  # type: ignore[operator]
                except Exception as error:
                    failures.append(repr(error))
                took[min(WINDOWS - 1, int(left / WINDOW_SECONDS))].append(
                    time.perf_counter() - begin
                )
                time.sleep(PAUSE_SECONDS)

        line = http.client.HTTPConnection("127.0.0.1", self.server.rest_port, timeout=30)

        def rest() -> None:
            line.request("POST", "/v1/models/half:predict", json.dumps({"instances": [2.0]}))
            response = line.getresponse()
            text = response.read()
            assert response.status == 200, text

        with Client(self.server.address, patience=0) as client:
            x = np.float32([2])
            threads = [
                threading.Thread(target=repeat, args=[question])
                for question in (rest, lambda: client.run("half", {"x": x}))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        line.close()
        return Normal(
            statistics.median(float(np.percentile(window, 99)) for window in took), failures
        )


@pytest.fixture(scope="module")
def attacked(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder = tmp_path_factory.mktemp("attacked")
    kinds = {"half": "half_plus_1", "counter": "counter", "pictures": "pictures"}
    for name, kind in kinds.items():
        Repository(saved_models, folder / name).add(1, kind)
    config = folder / "models.config"
    config.write_text(str(model_config(*({"name": n, "base_path": folder / n} for n in kinds))))
    with Server(
        folder, f"--model_config_file={config}", "--rest_api_timeout_in_ms=10000"
    ) as server:
        assert server.address
        yield Attacked(server)
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_attack(attacked: Attacked, name: str) -> None:
    grpc_port = attacked.server.address.rpartition(":")[2]
    rest_port = str(attacked.server.rest_port)
    limit = max(5 * attacked.unharmed.seconds, FLOOR_SECONDS)
    assert not attacked.unharmed.failures
    attacker = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.attacks", name, grpc_port, rest_port],
        cwd=ROOT,
    )
    try:
        time.sleep(2)
        for _ in range(TRIES):
            during = attacked.ask()
            assert not during.failures
            if during.seconds < limit:
                break
        assert attacker.poll() is None
    finally:
        attacker.kill()
        attacker.wait()
    deadline = time.monotonic() + 30
    while (grown := attacked.process.memory_info().rss / attacked.memory) >= 1.3:
        assert time.monotonic() < deadline, f"{grown:.2f} of the memory before"
        time.sleep(0.1)
    print(
        f"{name}: p99 {1000 * during.seconds:.0f} ms, otherwise "
        f"{1000 * attacked.unharmed.seconds:.0f}; {attacked.process.memory_info().rss >> 20} MB, "
        f"at first {attacked.memory >> 20}"
    )
    assert during.seconds < limit
