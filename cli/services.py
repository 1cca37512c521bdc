"""Programs that run in the background: start, check, wait until ready, stop."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from celflow.child_processes import ends_with_parent
from celflow.errors import UserError

LOGS = Path("logs")
START_TIMEOUT = 180.0  # seconds; TensorFlow alone may take 30 to import
STOP_TIMEOUT = 15.0  # seconds that a service has to end after SIGTERM


@dataclass
class Service:
    """A program, the environment variables to add, and a test for whether it is ready."""

    name: str
    command: list[str]
    environment: dict[str, str]
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its output goes to logs/<name>.log."""
        LOGS.mkdir(exist_ok=True)
        with (LOGS / f"{self.name}.log").open("wb") as log:
            # In its own session Ctrl-C does not reach it, so that services stop in order.
            self.process = subprocess.Popen(
                ends_with_parent(self.command),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment}, start_new_session=True,
            )  # fmt: skip

    def check(self) -> None:
        """Raise UserError, with the last lines of its log, if it has ended."""
        if self.process is not None and self.process.poll() is not None:
            log = LOGS / f"{self.name}.log"
            tail = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            raise UserError(f"{self.name} ended by itself, see {log}: {tail}")

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if it has not ended after `STOP_TIMEOUT`."""
        if self.process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(STOP_TIMEOUT)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Raise UserError for the first port that is taken. `ports`: command-line flag to port."""
    for flag, port in ports.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise UserError(
                    f"port {port} on {host} is not available ({error.strerror}): "
                    f"stop what uses it, or choose another with {flag}"
                ) from None


def responds(url: str) -> bool:
    """Whether a GET request is answered with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until_ready(services: Sequence[Service]) -> None:
    """Wait for all; raises UserError if one ends or is not ready after `START_TIMEOUT`."""
    from rich.console import Console

    waiting = list(services)
    deadline = time.monotonic() + START_TIMEOUT
    with Console(stderr=True).status("starting ...") as status:
        while waiting:
            status.update("starting " + ", ".join(service.name for service in waiting) + " ...")
            for service in services:
                service.check()
            if time.monotonic() > deadline:
                raise UserError(
                    f"{waiting[0].name} did not start; see {LOGS}/{waiting[0].name}.log"
                )
            waiting = [service for service in waiting if not service.ready()]
            time.sleep(0.2)


def watch(services: Sequence[Service]) -> None:
    """Return at Ctrl-C; raises UserError as soon as one has ended."""
    try:
        while True:
            for service in services:
                service.check()
            time.sleep(1)
    except KeyboardInterrupt:
        print("\nstopping ...")
