"""Options that several commands share."""

from typing import Annotated

import typer

from serving.backends import Backend as Choice

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
    Choice,
    typer.Option(
        help="What serves: tensorflow_model_server, its Docker image, the embedded server, "
        "or the first of them that is there."
    ),
]

SERVER = "127.0.0.1:8500"
HOST = "127.0.0.1"
BACKEND = Choice.auto
GRPC_PORT = 8500
REST_PORT = 8501
DASHBOARD_PORT = 8502
MLFLOW_PORT = 5000


def reachable(host: str) -> str:
    """What a client on this machine calls a host, as it stands before a port."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{near}]" if ":" in near else near
