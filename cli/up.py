"""`celflow up`: MLflow, model server and dashboard together."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celflow.errors import UserError
from cli import options
from cli.options import Backend, GrpcPort, Host, RestPort, reachable

if TYPE_CHECKING:
    from serving.client import Client

LOGS = Path("logs")
START_TIMEOUT = 180.0  # seconds; TensorFlow alone may take 30 to import
STOP_TIMEOUT = 15.0  # seconds a service has to end by itself


@dataclass
class Service:
    """A program that `up` starts, the address to show, and how to see that it is ready."""

    name: str
    command: list[str]
    environment: dict[str, str]
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it prints goes into logs/<name>.log."""
        LOGS.mkdir(exist_ok=True)
        with (LOGS / f"{self.name}.log").open("wb") as log:
            # A session of its own, so that Ctrl-C reaches us first and we stop it in order.
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment}, start_new_session=True,
            )  # fmt: skip

    def check(self) -> None:
        """Raise UserError, with the last lines of its log, if it has ended."""
        if self.process is not None and self.process.poll() is not None:
            log = LOGS / f"{self.name}.log"
            tail = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            raise UserError(f"{self.name} ended by itself, see {log}: {tail}")

    def stop(self) -> None:
        """Ask it to end, and after a while make it."""
        if self.process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, how)
                self.process.wait(STOP_TIMEOUT)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def up(
    check: Annotated[
        bool, typer.Option("--check", help="Start, try everything, print a table, stop.")
    ] = False,
    backend: Backend = options.BACKEND,
    host: Host = options.HOST,
    grpc_port: GrpcPort = options.GRPC_PORT,
    rest_port: RestPort = options.REST_PORT,
    dashboard_port: Annotated[
        int, typer.Option(help="Port of the dashboard.", min=1, max=65535)
    ] = options.DASHBOARD_PORT,
    mlflow_port: Annotated[
        int, typer.Option(help="Port of MLflow.", min=1, max=65535)
    ] = options.MLFLOW_PORT,
) -> None:
    """Start MLflow, the model server and the dashboard; Ctrl-C stops them."""
    from promotion import deploy, served_folder, serving_config
    from serving import backends
    from serving.client import Client

    ports = {
        "--mlflow-port": mlflow_port, "--grpc-port": grpc_port, "--rest-port": rest_port,
        "--dashboard-port": dashboard_port,
    }  # fmt: skip
    _check_ports(host, ports)
    start = backends.launch(backend, host, grpc_port, rest_port, serving_config.MODELS_CONFIG)
    if start.note:
        print(f"note: {start.note}", file=sys.stderr)
    address = f"{reachable(host)}:{grpc_port}"
    with ExitStack() as stack:
        client = stack.enter_context(Client(address))
        aliases = deploy.deploy(client).aliases
        served_folder.remove_unserved(serving_config.read())
        services = _services(start.command, host, dashboard_port, mlflow_port, client)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        for service in services:
            stack.callback(service.stop)
            service.start()
        _wait(services)
        if check:
            passed = _try_everything(client, aliases, services)
            raise typer.Exit(0 if passed else 1)
        _print_addresses(reachable(host), ports, aliases)
        try:
            while True:
                for service in services:
                    service.check()
                time.sleep(1)
        except KeyboardInterrupt:
            print("\nstopping ...")


def _services(
    model_server: list[str], host: str, dashboard_port: int, mlflow_port: int, client: "Client"
) -> list[Service]:
    from celflow import registry

    near = reachable(host)
    python = sys.executable
    services = [
        Service("model-server", model_server, {}, client.healthy),
        Service(
            "dashboard",
            [python, "-m", "streamlit", "run", "dashboard/app.py", "--server.headless", "true",
             "--server.address", host, "--server.port", str(dashboard_port),
             "--browser.gatherUsageStats", "false"],
            {"CELFLOW_SERVER": client.address},
            lambda: _answers(f"http://{near}:{dashboard_port}/_stcore/health"),
        ),
    ]  # fmt: skip
    if registry.is_default():
        mlflow = Service(
            "mlflow",
            [python, "-m", "mlflow", "server", "--backend-store-uri", registry.default_uri(),
             "--default-artifact-root", registry.default_artifacts(),
             "--host", host, "--port", str(mlflow_port), "--workers", "1"],
            # Its job runner starts more processes, for features that nothing here uses.
            {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            lambda: _answers(f"http://{near}:{mlflow_port}/health"),
        )  # fmt: skip
        services.insert(0, mlflow)
    return services


def _check_ports(host: str, ports: dict[str, int]) -> None:
    for flag, port in ports.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise UserError(
                    f"port {port} on {host} can't be had ({error.strerror}): "
                    f"stop what uses it, or choose another with {flag}"
                ) from None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(services: list[Service]) -> None:
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


def _try_everything(
    client: "Client", aliases: dict[str, dict[str, int]], services: list[Service]
) -> bool:
    import numpy as np
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from celflow.images import encode_png

    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    picture = encode_png(noise)
    table = Table("what", "state", "answer")
    passed = True

    def line(what: str, ask: Callable[[], str]) -> None:
        nonlocal passed
        try:
            table.add_row(what, "[green]ok", ask())
        except UserError as error:
            passed = False
            table.add_row(what, "[red]failed", escape(str(error)))

    def ask_model(model: str) -> str:
        answer = client.predict(model, [picture], "stable")
        said = "a picture"
        if "image_png" not in answer.outputs:
            best = answer.classifications()[0]
            said = f"{best.name} {best.score:.0%}"
        return f"version {answer.version}: {said}, {answer.milliseconds:.0f} ms"

    def ask_page(service: Service) -> str:
        if not service.ready():
            raise UserError("its health page does not answer")
        return "healthy"

    for model in sorted(aliases):
        line(model, lambda model=model: ask_model(model))  # type: ignore[misc]
    for service in services:
        line(service.name, lambda service=service: ask_page(service))  # type: ignore[misc]
    Console().print(table)
    return passed


def _print_addresses(near: str, ports: dict[str, int], aliases: dict[str, dict[str, int]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from celflow import registry

    tracking = f"http://{near}:{ports['--mlflow-port']}"
    if not registry.is_default():
        tracking = os.environ["MLFLOW_TRACKING_URI"]
    server = f"{near}:{ports['--grpc-port']}"
    first = min(aliases)
    table = Table(show_header=False, box=None)
    for name, address, use in (
        ("Dashboard", f"http://{near}:{ports['--dashboard-port']}", "try pictures, compare models"),
        ("MLflow", tracking, "runs, curves, versions and where they came from"),
        ("Model server", f"{server} (gRPC)", f"celflow predict {first} FILE --server {server}"),
        ("", f"http://{near}:{ports['--rest-port']} (REST)", f"GET /v1/models/{first}"),
    ):
        table.add_row(f"[bold]{name}", address, use)
    Console().print(table)
    print("Ctrl-C stops all three.", flush=True)
