"""Options that several commands share."""

from typing import Annotated

import typer

from serving.backends import Backend as BackendChoice

Server = Annotated[
    str,
    typer.Option(
        envvar="CELFLOW_SERVER", help="The model server's gRPC address.", metavar="HOST:PORT"
    ),
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
GrpcPort = Annotated[int, typer.Option(help="gRPC port of the model server.", min=1, max=65535)]
RestPort = Annotated[int, typer.Option(help="REST port of the model server.", min=1, max=65535)]
Backend = Annotated[
    BackendChoice,
    typer.Option(
        help="The model server: tensorflow_model_server (binary), its Docker image, the embedded "
        "server, or the first of these that is installed (auto)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

SERVER = "127.0.0.1:8500"
HOST = "127.0.0.1"
BACKEND = BackendChoice.auto
GRPC_PORT = 8500
REST_PORT = 8501
DASHBOARD_PORT = 8502
MLFLOW_PORT = 5000


def reachable(host: str) -> str:
    """The address at which a client on this machine reaches `host`, as written before a port."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{address}]" if ":" in address else address
