"""`celflow listen`: MLflow's webhooks."""

import os
from typing import Annotated

import typer

from celflow.errors import UserError
from cli.options import HOST, SERVER, Host, Server

SECRET = "CELFLOW_WEBHOOK_SECRET"


def listen(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8503,
    host: Host = HOST,
    url: Annotated[
        str,
        typer.Option(help="The address by which MLflow's server reaches this.", show_default=False),
    ] = "",
    server: Server = SERVER,
) -> None:
    """Serve what is promoted in MLflow's own page: an alias that is set there reaches the server.

    CELFLOW_WEBHOOK_SECRET is what MLflow signs by. MLflow's server sends webhooks to public https
    addresses; within one machine it needs MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http and
    MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true in its environment.
    """
    import logging

    import uvicorn

    from celflow import registry
    from promotion import webhook
    from serving.client import Client

    secret = os.environ.get(SECRET, "")
    if len(secret) < 16:
        raise UserError(f"set {SECRET} to a secret of at least 16 letters, which MLflow signs by")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s")
    url = url or f"http://{host}:{port}{webhook.PATH}"
    with Client(server) as client:
        webhook.register(url, secret)
        print(f"MLflow tells {url} of aliases that are moved; Ctrl-C ends it", flush=True)
        syncing = webhook.Syncing(client)
        for model in registry.models():  # an alias may have moved while nobody listened
            syncing.changed(model)
        app = webhook.application(secret, syncing.changed)
        uvicorn.run(app, host=host, port=port, log_level="warning")
