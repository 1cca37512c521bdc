"""Listen to MLflow's webhooks: an alias set in MLflow's own page reaches the model server.

MLflow (3.3 and later) signs what it sends: HMAC-SHA256 of "delivery id.time.body" by a secret that
both know (its documentation, "Webhooks"). What is not signed, or old, changes nothing.
"""

import base64
import hashlib
import hmac
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from celflow import registry, tracking
from celflow.errors import UserError
from celflow.waiting import until_available
from promotion import deploy, transition
from serving.client import Client

log = logging.getLogger(__name__)

PATH = "/mlflow"
NAME = "celflow"  # of the webhook in MLflow
EVENTS = ["model_version_alias.created", "model_version_alias.deleted"]
OLDEST = 300.0  # seconds that a delivery may be old
MOST_BYTES = 1 << 16


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether a delivery is MLflow's, and not one of long ago.

    secret: as MLflow has it. headers: with names in small letters. now: seconds since 1970.
    """
    delivery, when = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
    if not when.isdecimal() or abs(now - int(when)) > OLDEST:
        return False
    content = f"{delivery}.{when}.".encode() + body
    code = base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest())
    given = headers.get("x-mlflow-signature", "")
    return hmac.compare_digest(f"v1,{code.decode()}".encode(), given.encode())


def application(secret: str, changed: Callable[[str], None]) -> Starlette:
    """The web application; changed: is called with the model of each alias that was moved."""

    async def receive(request: Request) -> PlainTextResponse:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return PlainTextResponse("too large", 413)
        if not is_signed(secret, request.headers, body, time.time()):
            return PlainTextResponse("not signed by this MLflow", 401)
        try:
            delivery = json.loads(body)
            entity, model = delivery["entity"], delivery["data"]["name"]
        except (ValueError, KeyError, TypeError):
            return PlainTextResponse("no delivery of MLflow's", 400)
        if entity == "model_version_alias":
            changed(str(model))
        return PlainTextResponse("accepted", 202)

    return Starlette(routes=[Route(PATH, receive, methods=["POST"])])


class Syncing:
    """Brings models to the server one after the other, on a thread of its own.

    MLflow waits for the answer to a delivery, and a load may take longer than it does. Where MLflow
    or the server is away then, they are waited for.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._work, name="webhook", daemon=True).start()

    def changed(self, model: str) -> None:
        """Serve a model as the registry says, soon."""
        self._waiting.put(model)

    def _work(self) -> None:
        while True:
            model = self._waiting.get()
            try:
                until_available(partial(self._sync, model))
            except UserError as error:
                log.error("%s: %s", model, error)

    def _sync(self, model: str) -> None:
        if model in registry.models():  # somebody else's model is not ours to serve
            with transition.holding():
                deploy.sync(self._client, model)
            log.info("%s is served as MLflow says", model)


def register(url: str, secret: str) -> None:
    """Let MLflow send the events of aliases to `url`; a webhook of this name is replaced.

    Raises:
        UserError: MLflow is older than 3.3, or refuses the address.
    """
    client = tracking.connect()
    with tracking.one_line_errors():
        for known in client.list_webhooks():
            if known.name == NAME:
                client.delete_webhook(known.webhook_id)
        client.create_webhook(NAME, url, EVENTS, secret=secret)
