"""`celflow serve`: the model server alone."""

import os
import shlex
import sys
from typing import Annotated

import typer

from cli.options import (
    BACKEND,
    GRPC_PORT,
    HOST,
    REST_PORT,
    Backend,
    GrpcPort,
    Host,
    RestPort,
    reachable,
)


def serve(
    flags: Annotated[
        list[str] | None,
        typer.Argument(help="After --: further flags for tensorflow_model_server."),
    ] = None,
    backend: Backend = BACKEND,
    host: Host = HOST,
    grpc_port: GrpcPort = GRPC_PORT,
    rest_port: RestPort = REST_PORT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the server's command line and stop.")
    ] = False,
) -> None:
    """Start the model server with the versions in the registry; Ctrl-C stops it."""
    from promotion import deploy, serving_config
    from serving import backends
    from serving.client import Client

    config = serving_config.MODELS_CONFIG
    start = backends.launch(backend, host, grpc_port, rest_port, config, flags or ())
    if start.note:
        print(f"note: {start.note}", file=sys.stderr)
    if dry_run:
        print(shlex.join(start.command))
        return
    with Client(f"{reachable(host)}:{grpc_port}") as client:
        deploy.deploy(client)
    os.execv(start.command[0], start.command)
