"""Other model servers, each started on one SavedModel and measured over HTTP."""

import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.parts.harness import PARTS, Bench, Outcome, Process, free_ports
from cli.services import responds


def over_http(
    bench: Bench, name: str, command: Sequence[object], port: int, paths: tuple[str, str],
    bodies: Sequence[Any], environment: dict[str, str] | None = None,
) -> Outcome:  # fmt: skip
    """Start a server that takes JSON, and measure it.

    Args:
        bench: what to measure with.
        name: of the server, for its log file.
        command: that starts it.
        port: that it listens on.
        paths: of its health check and of its predictions.
        bodies: JSON values to send.
        environment: variables of the process.
    """
    address = f"http://127.0.0.1:{port}"
    with Process(
        command, bench.scratch / f"{name}.log", cwd=PARTS, env={**os.environ, **(environment or {})}
    ) as process:
        process.wait_for(lambda: responds(address + paths[0]))
        return bench.ask(address + paths[1], [json.dumps(body).encode() for body in bodies])


def mlflow_serve(bench: Bench, folder: Path) -> Outcome:
    """`mlflow models serve`, as this project registers its models."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    warnings.filterwarnings("ignore", message=".*input example was not provided.*")
    model = bench.scratch / "mlflow" / folder.parent.name
    pyfunc.save_model(
        model, loader_module="celflow.pyfunc", data_path=str(folder),
        signature=ModelSignature(inputs=Schema([ColSpec("binary", "image_bytes")])),
        pip_requirements=[],
    )  # fmt: skip
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model,
               "--port", port, "--env-manager", "local"]  # fmt: skip
    bodies = [
        {"dataframe_split": {"columns": ["image_bytes"], "data": [[one]]}} for one in bench.encoded
    ]
    return over_http(bench, "mlflow", command, port, ("/ping", "/invocations"), bodies)


def litserve_serve(bench: Bench, folder: Path) -> Outcome:
    (port,) = free_ports(1)
    command = [sys.executable, PARTS / "litserve_app.py", folder.absolute(), port]
    bodies = [{"image": one} for one in bench.encoded]
    return over_http(bench, "litserve", command, port, ("/health", "/predict"), bodies)


def bentoml_serve(bench: Bench, folder: Path) -> Outcome:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bentoml", "serve", "bentoml_app:Classifier", "--port", port]
    bodies = [{"images": [one]} for one in bench.encoded]
    environment = {"MODEL": str(folder.absolute())}
    paths = ("/readyz", "/classify")
    return over_http(bench, "bentoml", command, port, paths, bodies, environment)


OTHER_SERVERS = {"mlflow": mlflow_serve, "litserve": litserve_serve, "bentoml": bentoml_serve}
"""Package to function; each returns what the load generator measured."""
