"""The model server of a deployment folder: started where none answers, asked through REST."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from celflow import rooms
from celflow.errors import UserError
from celflow.files import write_bytes

GRPC_PORT, REST_PORT = 8500, 8501  # as in TensorFlow Serving's own examples
_START_SECONDS, _LOAD_SECONDS = 120.0, 120.0
_POLL = 0.2  # seconds


@dataclass
class Server:
    """A model server that reads a folder's models.config.

    folder: of the deployments; it also gets server.json (process and ports) and server.log.
    ports: gRPC and REST, for one that is started; that of one that runs is in server.json.
    """

    folder: Path
    ports: tuple[int, int] = (GRPC_PORT, REST_PORT)

    @property
    def _file(self) -> Path:
        return self.folder / "server.json"

    def _known(self) -> dict[str, int]:
        return dict(json.loads(self._file.read_text())) if self._file.is_file() else {}

    @property
    def url(self) -> str:
        """Of the REST API."""
        return f"http://127.0.0.1:{self._known().get('rest_port', self.ports[1])}"

    def answers(self) -> bool:
        """Whether a server is there."""
        try:
            requests.get(f"{self.url}/v1/models/_", timeout=5)
        except requests.RequestException:
            return False
        return True

    def start(self, config: Path) -> None:
        """Start the embedded server on this machine; it outlives this process.

        Raises:
            UserError: it ended at once, or does not answer in time.
        """
        command = [
            sys.executable, "-m", "serving.server",
            f"--port={self.ports[0]}", f"--rest_api_port={self.ports[1]}",
            f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1",
            "--file_system_poll_wait_seconds=1", "--enable_batching=true",
        ]  # fmt: skip
        log = self.folder / "server.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=rooms.environment(), start_new_session=True,
            )  # fmt: skip
        about = {"pid": process.pid, "port": self.ports[0], "rest_port": self.ports[1]}
        write_bytes(self._file, json.dumps(about).encode())
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                last = (log.read_text(errors="replace").strip().splitlines() or ["no reason"])[-1]
                self.stop()
                raise UserError(f"the model server does not start: {last} (all of it: {log})")
            time.sleep(_POLL)

    def stop(self) -> None:
        """End the server that `start` started, if there is one."""
        pid = self._known().get("pid")
        self._file.unlink(missing_ok=True)
        if pid is not None and _is_ours(pid):
            os.kill(pid, signal.SIGTERM)

    def states(self, name: str) -> dict[int, tuple[str, str]]:
        """State (such as AVAILABLE) and error message of each version of a model.

        Raises:
            UserError: no server answers.
        """
        answer = self._get(f"/v1/models/{name}")
        return {
            int(one["version"]): (one["state"], one["status"].get("error_message", ""))
            for one in answer.get("model_version_status", [])
        }

    def wait(self, name: str, version: int) -> None:
        """Return when a version answers.

        Raises:
            UserError: it could not be loaded, or not in time.
        """
        deadline = time.monotonic() + _LOAD_SECONDS
        while time.monotonic() < deadline:
            state, message = self.states(name).get(version, ("", ""))
            if state == "AVAILABLE":
                return
            if state == "END" and message:
                raise UserError(f"the model server can't load it: {message}")
            time.sleep(_POLL)
        raise UserError(f"the model server has not loaded it in {_LOAD_SECONDS:g} s")

    def wait_gone(self, name: str) -> None:
        """Return when no version of a model answers any more; at the latest after a minute."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not any(state == "AVAILABLE" for state, _ in self.states(name).values()):
                return
            time.sleep(_POLL)

    def inputs(self, name: str) -> dict[str, str]:
        """Name and type (such as DT_FLOAT) of each input of `serving_default`."""
        found = self._get(f"/v1/models/{name}/metadata")["metadata"]["signature_def"]
        signature = found["signature_def"].get("serving_default", {"inputs": {}})
        return {key: one["dtype"] for key, one in signature["inputs"].items()}

    def predict(self, name: str, body: dict[str, Any]) -> Any:
        """The predictions for a request in TensorFlow Serving's JSON.

        Raises:
            UserError: the server refuses the request, or is not there.
        """
        answer = self._asked("POST", f"/v1/models/{name}:predict", json=body)
        return answer["predictions"] if "predictions" in answer else answer["outputs"]

    def _get(self, path: str) -> dict[str, Any]:
        return self._asked("GET", path)

    def _asked(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            response = requests.request(method, self.url + path, timeout=120, **kwargs)
            answer = dict(response.json())
        except (requests.RequestException, ValueError) as error:
            raise UserError(f"no model server answers at {self.url}: {error}") from error
        if response.status_code == requests.codes.not_found and method == "GET":
            return {}
        if not response.ok:
            raise UserError(str(answer.get("error", response.reason)))
        return answer


def _is_ours(pid: int) -> bool:
    """Whether a process is a model server: numbers are given again to others."""
    import psutil

    try:
        return "serving.server" in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
