"""Which program serves the models: TensorFlow Serving's binary, its image, or the embedded server.

All three are started with the same flags and read the same files below served/.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

from celflow.errors import UserError

BINARY = "tensorflow_model_server"
IMAGE = "tensorflow/serving"
TAG_VARIABLE = "TF_SERVING_TAG"

CONFIG_FILES = sorted((Path(__file__).parent / "config").glob("*.config"))
"""The server's settings, which a deployment copies beside its model config."""

_DOCKER_TIMEOUT = 10.0  # seconds for an engine to say that it is there
_ALL_ADDRESSES = ("0.0.0.0", "::")


class Backend(str, Enum):
    """What can serve; `auto` is the first that is available, in this order."""

    auto = "auto"
    binary = "binary"
    docker = "docker"
    embedded = "embedded"


@dataclass(frozen=True)
class Launch:
    """How to start a model server.

    Attributes:
        backend: which one; never `auto`.
        command: its command line.
        note: a warning for the user, or nothing.
    """

    backend: Backend
    command: list[str]
    note: str = ""


def launch(
    backend: Backend,
    host: str,
    grpc_port: int,
    rest_port: int,
    config: Path,
    more: Sequence[str] = (),
) -> Launch:
    """The command line of a server for a model config.

    Args:
        backend: which server; `auto` takes the first that is available.
        host: address to listen on.
        grpc_port: its port.
        rest_port: its port.
        config: a `ModelServerConfig` file, beside batching.config and monitoring.config; their
            folder is mounted into a container at the same path.
        more: other flags of tensorflow_model_server, passed on.

    Raises:
        UserError: the server is not available.
    """
    if backend is Backend.auto:
        backend = first()
    config = config.absolute()
    flags = [
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=2",
        # The file has labels, and no version that they name is loaded at the start.
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
        "--enable_batching=true",
        f"--batching_parameters_file={config.with_name('batching.config')}",
        f"--monitoring_config_file={config.with_name('monitoring.config')}",
        *more,
    ]
    if backend is Backend.binary:
        note = (
            "" if host in _ALL_ADDRESSES else f"{BINARY} listens on every address, not just {host}"
        )
        return Launch(backend, [_program(BINARY), *flags], note)
    if backend is Backend.docker:
        run = _docker_run(host, (grpc_port, rest_port), config.parent)
        return Launch(backend, [*run, *flags])
    return Launch(backend, [sys.executable, "-m", "serving.server", f"--host={host}", *flags])


def image_tag() -> str:
    """The version of TensorFlow Serving: TF_SERVING_TAG, or that of its installed Python API."""
    return os.environ.get(TAG_VARIABLE, "").strip() or metadata.version("tensorflow-serving-api")


def image() -> str:
    """The image to run: the one for GPUs where Docker's engine has NVIDIA's runtime.

    Raises:
        UserError: there is no Docker, or its engine does not answer.
    """
    gpu = "-gpu" if "nvidia" in _docker("info", "--format", "{{json .Runtimes}}") else ""
    return f"{IMAGE}:{image_tag()}{gpu}"


def first() -> Backend:
    """What `auto` takes: the binary, an image that Docker has stored, or the embedded server."""
    if shutil.which(BINARY):
        return Backend.binary
    try:
        # An image that Docker would have to download first, gigabytes, is not available.
        _docker("image", "inspect", "--format", "{{.Id}}", image())
    except UserError:
        return Backend.embedded
    return Backend.docker


def _docker_run(host: str, ports: Sequence[int], folder: Path) -> list[str]:
    name = image()
    address = f"[{host}]" if ":" in host else host
    return [
        # Without --init, SIGTERM would not end the container's first process.
        _program("docker"), "run", "--rm", "--init",
        *(word for port in ports for word in ("--publish", f"{address}:{port}:{port}")),
        "--mount", f"type=bind,source={folder},target={folder},readonly",
        *(("--gpus", "all") if name.endswith("-gpu") else ()),
        "--entrypoint", BINARY, name,
    ]  # fmt: skip


def _docker(*words: str) -> str:
    try:
        done = subprocess.run(
            [_program("docker"), *words], capture_output=True, text=True, timeout=_DOCKER_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"Docker does not answer within {_DOCKER_TIMEOUT:g} s") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"Docker can't be used: {reason}")
    return done.stdout


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise UserError(f"no {name} on the PATH: install it, or use --backend embedded")
    return path
