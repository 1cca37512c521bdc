"""`celflow serve`: the model server alone."""

import os
import sys

from cli.options import GRPC_PORT, HOST, REST_PORT, GrpcPort, Host, RestPort


def server_command(host: str, grpc_port: int, rest_port: int) -> list[str]:
    """The command line of the embedded server for what `celflow deploy` has written."""
    from serving.deploy import CONFIG

    return [
        sys.executable, "-m", "serving.server", "--host", host, "--port", str(grpc_port),
        "--rest_api_port", str(rest_port), "--model_config_file", str(CONFIG),
        "--model_config_file_poll_wait_seconds", "2",
    ]  # fmt: skip


def serve(
    host: Host = HOST, grpc_port: GrpcPort = GRPC_PORT, rest_port: RestPort = REST_PORT
) -> None:
    """Start the model server with what the registry says; Ctrl-C stops it."""
    from serving import deploy
    from serving.client import Client

    with Client(f"{host}:{grpc_port}") as client:
        deploy.deploy(client)
    command = server_command(host, grpc_port, rest_port)
    os.execv(command[0], command)
