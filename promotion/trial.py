"""A model server of its own process, in which versions are tried before anything is moved."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from celflow.child_processes import ends_with_parent
from celflow.errors import UserError
from promotion.served_folder import SERVED
from serving.client import Client
from serving.protos import model_server_config_pb2

START_TIMEOUT = 120.0  # seconds
LOAD_TIMEOUT = 120.0


class Trial:
    """The server while it starts, and then."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    @contextmanager
    def loaded(self, model: str, numbers: Sequence[int]) -> Iterator[Client]:
        """A client of the server, which has loaded these versions of a model from served/.

        Raises:
            UserError: the server does not start, or a version does not load or warm up.
        """
        config = model_server_config_pb2.ModelServerConfig()
        entry = config.model_config_list.config.add(
            name=model, base_path=str((SERVED / model).absolute()), model_platform="tensorflow"
        )
        entry.model_version_policy.specific.versions.extend(sorted({*numbers}))
        with Client(self._address()) as client:
            try:
                client.reload_config(config)
            except UserError:
                for number in numbers:  # says which one failed, and why
                    client.wait_available(model, number, LOAD_TIMEOUT)
                raise
            for number in numbers:
                client.wait_available(model, number, LOAD_TIMEOUT)
            yield client

    def _address(self) -> str:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            text = self._log.read_text(errors="replace")
            for line in text.splitlines():
                if line.startswith("gRPC on "):
                    return line.removeprefix("gRPC on ").split(",")[0].split(";")[0]
            if self._process.poll() is not None:
                last = (text.strip().splitlines() or ["no reason given"])[-1]
                raise UserError(f"the server for the trial ended by itself: {last}")
            time.sleep(0.05)
        raise UserError(f"the server for the trial did not start within {START_TIMEOUT:g} s")


@contextmanager
def starting() -> Iterator[Trial]:
    """Start the server, with no models; it goes on starting while the caller does other things."""
    with TemporaryDirectory(prefix="celflow-trial-") as temporary:
        folder = Path(temporary)
        (folder / "models.config").write_text("model_config_list {}\n")
        command = [
            sys.executable, "-m", "serving.server", "--host=127.0.0.1", f"--port={_free_port()}",
            "--enable_grpc_healthcheck_service", "--model_config_file_poll_wait_seconds=0",
            f"--model_config_file={folder / 'models.config'}",
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ends_with_parent(command),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield Trial(process, folder / "log")
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
