"""What benchmarks/serving.py measures with: servers, the load generator and its outcome."""

import argparse
import base64
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from google.protobuf import text_format
from PIL import Image

from celflow import errors
from serving import backends
from serving.client import Client
from serving.protos import model_server_config_pb2, predict_pb2
from serving.tensors import to_proto

PARTS = Path(__file__).parent
MODELS = ("xception", "character_cnn")
IN_FLIGHT = 32
START_SECONDS = 180.0


class Process:
    """A program that runs until the `with` block ends; its output goes to the file `log`."""

    def __init__(self, command: Sequence[object], log: Path, **options: Any) -> None:
        with log.open("ab") as file:
            self.popen = subprocess.Popen(
                [str(word) for word in command], stderr=file, start_new_session=True,
                **{"stdout": file, "stdin": subprocess.DEVNULL, **options},
            )  # fmt: skip
        self.log = log

    def __enter__(self) -> "Any":
        return self

    def __exit__(self, *exc: object) -> None:
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.popen.pid, how)
                self.popen.wait(20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue

    def wait_for(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                tail = " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])
                raise errors.UserError(f"{self.log.stem} does not start: {tail}")
            time.sleep(0.2)

    def megabytes(self) -> float:
        """Memory of it and its descendants, shared pages counted once."""
        top = psutil.Process(self.popen.pid)
        infos = [one.memory_full_info() for one in (top, *top.children(recursive=True))]
        return sum(getattr(info, "pss", info.rss) for info in infos) / 1e6


class Worker(Process):
    """A program of benchmarks/parts, which reads and writes lines of JSON."""

    def __init__(self, name: str, log: Path) -> None:
        command = [sys.executable, PARTS / f"{name}.py"]
        super().__init__(command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, line: str) -> None:
        assert self.popen.stdin is not None
        print(line, file=self.popen.stdin, flush=True)

    def receive(self) -> str:
        assert self.popen.stdout is not None
        line = str(self.popen.stdout.readline())
        if not line:
            raise errors.UserError(f"{self.log.stem} ended: {self.log.read_text()[-500:]}")
        return line

    def ask(self, **job: Any) -> dict[str, Any]:
        self.send(json.dumps(job))
        return dict(json.loads(self.receive()))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the load generator measured; p50 and p99 are latencies in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: dict[str, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return (self.requests - sum(self.errors.values())) / self.seconds

    @property
    def error_note(self) -> str:
        """The number of errors and the commonest of them, or nothing."""
        commonest = max(self.errors, key=lambda error: self.errors[error], default="")
        return (
            f"; {sum(self.errors.values())} errors, such as {commonest[:120]}" if commonest else ""
        )


class Bench:
    """What all measurements share: folders, images, load generator, a bare TensorFlow process."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path, stack: ExitStack) -> None:
        self.scratch = scratch
        self.backend: backends.Backend = arguments.backend
        self.flags: list[str] = arguments.flags
        self.seconds = 2.0 if arguments.quick else 10.0
        self.rounds = 1 if arguments.quick else 5
        self.version_changes, self.requests_meanwhile = (
            (5, 500) if arguments.quick else (20, 10_000)
        )
        self.images = sample_images()
        self.load = stack.enter_context(Worker("load", scratch / "load.log"))
        self.bare = stack.enter_context(Worker("inprocess", scratch / "inprocess.log"))
        self.half_plus = self.built("half_plus")
        found = {name: arguments.exports / name / "saved_model" for name in arguments.models}
        self.models = {name: folder for name, folder in found.items() if folder.is_dir()}
        if not self.models:
            self.models = {"small": self.built("small")}

    def built(self, kind: str) -> Path:
        folder = self.scratch / "built" / kind
        self.bare.ask(do="build", kind=kind, folder=str(folder))
        return folder

    @property
    def encoded(self) -> list[str]:
        return [base64.b64encode(image).decode() for image in self.images]

    def requests(self, model: str) -> list[bytes]:
        """A PredictRequest an image."""
        return [
            predict_request(model, "image_bytes", np.array([image], object))
            for image in self.images
        ]

    def json_requests(self) -> list[bytes]:
        """A body of REST's `:predict` an image."""
        return [json.dumps({"instances": [{"b64": image}]}).encode() for image in self.encoded]

    def start(
        self, address: str, requests: Sequence[bytes], in_flight: int = 0, rate: float = 0
    ) -> None:
        """Send requests until `stop`."""
        encoded = [base64.b64encode(one).decode() for one in requests]
        job = {"address": address, "requests": encoded, "in_flight": in_flight, "rate": rate}
        self.load.send(json.dumps(job))

    def stop(self) -> Outcome:
        """Stop sending requests, and wait for the answers."""
        self.load.send("stop")
        return Outcome(**json.loads(self.load.receive()))

    def ask(
        self, address: str, requests: Sequence[bytes], rate: float = 0, seconds: float = 0
    ) -> Outcome:
        """Send requests for some seconds, after a first second that does not count."""
        for length in (1.0, seconds or self.seconds):
            self.start(address, requests, IN_FLIGHT, rate)
            time.sleep(length)
            outcome = self.stop()
        return outcome

    @contextmanager
    def server(self, versions: dict[str, list[Path]]) -> Iterator["Server"]:
        """A model server, with folders for the versions 1, 2 ... of each model."""
        served = self.scratch / "served"
        shutil.rmtree(served, ignore_errors=True)
        for name, folders in versions.items():
            for number, folder in enumerate(folders, 1):
                shutil.copytree(folder, served / name / str(number))
        for file in backends.CONFIG_FILES:
            shutil.copy(file, served)
        first = dict.fromkeys(versions, 1)
        (served / "models.config").write_text(
            text_format.MessageToString(model_config(served, first))
        )
        grpc_port, rest_port = free_ports(2)
        launch = backends.launch(
            self.backend, "127.0.0.1", grpc_port, rest_port, served / "models.config", self.flags
        )
        log = self.scratch / "server.log"
        address = f"127.0.0.1:{grpc_port}"
        with Process(launch.command, log) as process, Client(address, patience=0) as client:
            process.wait_for(client.healthy)
            yield Server(process, client, served, f"http://127.0.0.1:{rest_port}")


@dataclasses.dataclass(frozen=True)
class Server:
    """A running model server."""

    process: Process
    client: Client
    served: Path
    rest_address: str

    @property
    def address(self) -> str:
        return self.client.address

    def serve(self, versions: dict[str, int]) -> None:
        """Serve one version of each of these models and nothing else."""
        self.client.reload_config(model_config(self.served, versions))


def model_config(served: Path, versions: dict[str, int]) -> Any:
    """A ModelServerConfig with one version a model."""
    made = model_server_config_pb2.ModelServerConfig()
    for name, version in versions.items():
        entry = made.model_config_list.config.add(
            name=name, base_path=str(served / name), model_platform="tensorflow"
        )
        entry.model_version_policy.specific.versions.append(version)
    return made


def predict_request(model: str, name: str, array: Any) -> bytes:
    """A PredictRequest, ready to be sent."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = model
    made.inputs[name].CopyFrom(to_proto(array))
    return bytes(made.SerializeToString())


def sample_images() -> list[bytes]:
    """Sixteen JPEG files of 256 x 256: coloured squares with a little noise, from a fixed seed."""
    random = np.random.default_rng(0)
    squares = random.integers(0, 256, (16, 8, 8, 3)).repeat(32, axis=1).repeat(32, axis=2)
    noise = random.integers(-8, 9, squares.shape)
    files = []
    for pixels in np.clip(squares + noise, 0, 255).astype(np.uint8):
        file = BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
