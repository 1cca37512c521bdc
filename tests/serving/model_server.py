"""Helpers of the server's tests: a server, a model's folder, a config, a looping thread."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.protos import model_server_config_pb2

ROOT = Path(__file__).parents[2]
STARTUP_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server in a process of its own; stdout and stderr are in `log`."""

    def __init__(self, folder: Path, *flags: str, rest: bool = True) -> None:
        self.rest_port = free_port() if rest else 0
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "serving.server",
                    f"--port={free_port()}",
                    "--enable_grpc_healthcheck_service",
                    f"--rest_api_port={self.rest_port}",
                    *flags,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )

    @property
    def address(self) -> str:
        """Wait for the line that says where it listens."""
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline:
            found = re.search(r"^gRPC on ([\w.:]+)", self.log.read_text(), re.MULTILINE)
            if found:
                return found[1]
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"the server does not start: {self.log.read_text()}")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()


class Repository:
    """A model's base path, to which versions are added as a deployment adds them."""

    def __init__(self, saved_models: Path, base_path: Path) -> None:
        self.saved_models = saved_models
        self.base_path = base_path

    def add(self, version: int, kind: str) -> Path:
        """Copy a SavedModel beside the others, then rename: a version appears all at once."""
        self.base_path.mkdir(exist_ok=True)
        copying = self.base_path / f"copying-{version}"
        shutil.copytree(self.saved_models / kind, copying)
        return copying.rename(self.base_path / str(version))

    def add_broken(self, version: int) -> Path:
        folder = self.base_path / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"not a saved model")
        return folder


def model_config(*models: dict[str, Any]) -> Any:
    """A ModelServerConfig; each model has name, base_path, versions (ints, "all"), labels."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    for model in models:
        entry = config.model_config_list.config.add(
            name=model["name"], base_path=str(model["base_path"]), model_platform="tensorflow"
        )
        if model.get("versions") == "all":
            entry.model_version_policy.all.SetInParent()
        elif "versions" in model:
            entry.model_version_policy.specific.versions.extend(model["versions"])
        entry.version_labels.update(model.get("labels", {}))
    return config


class Asking:
    """A thread that asks one question again and again and keeps every answer and failure."""

    def __init__(self, question: Callable[[], Any]) -> None:
        self.answers: list[Any] = []
        self.failures: list[Exception] = []
        self._question = question
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers.append(self._question())
            except Exception as error:
                self.failures.append(error)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
