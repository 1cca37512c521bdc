"""`celflow up`: MLflow, model server and dashboard together."""

import os
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.options import Backend, GrpcPort, Host, RestPort, reachable
from cli.services import Service, check_ports, responds, wait_until_ready, watch

if TYPE_CHECKING:
    from serving.client import Client

# MLflow opens in a mode for language models, unless an address says otherwise.
TRAINING_PAGES = "/#/experiments?workflowType=machine_learning"


def up(
    check: Annotated[
        bool, typer.Option("--check", help="Start all, ask each once, print a table, stop.")
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
    check_ports(host, ports)
    start = backends.launch(backend, host, grpc_port, rest_port, serving_config.MODELS_CONFIG)
    if start.note:
        print(f"note: {start.note}", file=sys.stderr)
    with ExitStack() as stack:
        client = stack.enter_context(Client(f"{reachable(host)}:{grpc_port}"))
        aliases = deploy.deploy(client).aliases
        served_folder.remove_unserved(serving_config.read())
        services = _services(start.command, host, dashboard_port, mlflow_port, client)
        for number in (signal.SIGTERM, signal.SIGHUP):  # the latter: the terminal was closed
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, lambda number, _: sys.exit(128 + number))
        for service in services:
            stack.callback(service.stop)
            service.start()
        wait_until_ready(services)
        if check:
            from cli import up_check

            raise typer.Exit(0 if up_check.run(client, aliases, services) else 1)
        _print_addresses(reachable(host), ports, aliases)
        watch(services)


def _services(
    model_server: list[str], host: str, dashboard_port: int, mlflow_port: int, client: "Client"
) -> list[Service]:
    from celflow import registry

    address = reachable(host)
    python = sys.executable
    services = [
        Service("model-server", model_server, {}, client.healthy),
        Service(
            "dashboard",
            [python, "-m", "streamlit", "run", "dashboard/app.py", "--server.headless", "true",
             "--server.address", host, "--server.port", str(dashboard_port),
             "--browser.gatherUsageStats", "false"],
            {"CELFLOW_SERVER": client.address},
            lambda: responds(f"http://{address}:{dashboard_port}/_stcore/health"),
        ),
    ]  # fmt: skip
    if registry.is_default():
        mlflow = Service(
            "mlflow",
            [python, "-m", "mlflow", "server", "--backend-store-uri", registry.default_uri(),
             "--default-artifact-root", registry.default_artifacts(),
             "--host", host, "--port", str(mlflow_port), "--workers", "1"],
            # Its job runner starts more processes, for features that nothing here uses.
            {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
            lambda: responds(f"http://{address}:{mlflow_port}/health"),
        )  # fmt: skip
        services.insert(0, mlflow)
    return services


def _print_addresses(address: str, ports: Mapping[str, int], models: Iterable[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from celflow import registry
    from celflow.params import CLASSIFICATION_TASKS, load

    tracking = f"http://{address}:{ports['--mlflow-port']}"
    if not registry.is_default():
        tracking = os.environ["MLFLOW_TRACKING_URI"]
    if tracking.startswith("http"):
        tracking = f"{tracking.rstrip('/')}{TRAINING_PAGES}"
    server = f"{address}:{ports['--grpc-port']}"
    config = load()
    tasks = {name: config.task(name) for name in config.models if name in models}
    classifiers = [name for name, task in tasks.items() if task in (*CLASSIFICATION_TASKS, "faces")]
    model = next(iter(classifiers), min(models))
    verb = "predict" if classifiers else "draw"  # drawing models have no names to tell
    addresses = Table(show_header=False, box=None)
    for name, url, use in (
        (
            "Dashboard",
            f"http://{address}:{ports['--dashboard-port']}",
            "try pictures, compare models",
        ),
        ("MLflow", tracking, "runs, curves, versions and their lineage"),
        ("Model server", f"{server} (gRPC)", f"celflow {verb} {model} FILE --server {server}"),
        ("", f"http://{address}:{ports['--rest-port']} (REST)", f"GET /v1/models/{model}"),
    ):
        addresses.add_row(f"[bold]{name}", url, use)
    Console().print(addresses)
    print("Ctrl-C stops all three.", flush=True)
