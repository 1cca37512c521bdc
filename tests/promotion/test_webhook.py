"""MLflow's webhooks: what is signed moves the server, and nothing else does."""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
import requests
import uvicorn

from celflow import registry, tracking
from promotion import webhook
from serving.client import Client

from ..serving.model_server import free_port, until
from .test_traffic import MODEL, grey, saved, stack

__all__ = ["saved", "stack"]
SECRET = "a secret of some letters"


def signed(body: bytes, secret: str = SECRET, age: float = 0.0) -> dict[str, str]:
    when = str(int(time.time() - age))
    content = f"7.{when}.".encode() + body
    code = base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()
    return {
        "X-MLflow-Delivery-Id": "7",
        "X-MLflow-Timestamp": when,
        "X-MLflow-Signature": f"v1,{code}",
    }


def delivery(entity: str = "model_version_alias", **data: str) -> bytes:
    return json.dumps({"entity": entity, "action": "created", "data": data}).encode()


@pytest.fixture(scope="module")
def listening():
    """The address of a listener, and the models that it was told of."""
    changed: list[str] = []
    port = free_port()
    app = webhook.application(SECRET, changed.append)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{port}{webhook.PATH}", changed
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(
    ("body", "headers", "status", "calls"),
    [
        (delivery(name="m", alias="champion", version="1"), {}, 202, ["m"]),
        (delivery("registered_model", name="m"), {}, 202, []),
        (delivery(name="m"), {"secret": "another secret of letters"}, 401, []),
        (delivery(name="m"), {"age": 3600}, 401, []),
        (b"rubbish", {}, 400, []),
        (b"[]", {}, 400, []),
        (b"x" * 100_000, {}, 413, []),
    ],
)
def test_only_what_mlflow_signed_counts(listening, body, headers, status, calls):
    url, changed = listening
    del changed[:]
    answer = requests.post(url, body, headers=signed(body, **headers), timeout=10)
    assert (answer.status_code, changed) == (status, calls)


def test_without_a_signature(listening):
    url, changed = listening
    del changed[:]
    assert requests.post(url, delivery(name="m"), timeout=10).status_code == 401
    assert changed == []


@pytest.mark.slow
def test_an_alias_set_in_mlflow_reaches_the_server(stack: Client, project):
    """By MLflow's own server and its own client, as its page does it."""
    port, hook_port = free_port(), free_port()
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    }
    mlflow = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking.default_uri(),
         "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    uri = f"http://127.0.0.1:{port}"
    listener = None
    try:
        until(lambda: answers(f"{uri}/health"), 90)
        command = "from cli.main import main; main()"
        listener = subprocess.Popen(
            [sys.executable, "-c", command, "listen", "--port", str(hook_port), "--server",
             stack.address],
            env={**environment, "CELFLOW_WEBHOOK_SECRET": SECRET, "MLFLOW_TRACKING_URI": uri,
                 "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        url = f"http://127.0.0.1:{hook_port}{webhook.PATH}"
        until(lambda: answers(url, post=True), 60)
        assert stack.predict(MODEL, [grey(200)], "stable").version == 2
        from mlflow import MlflowClient

        MlflowClient(uri, uri).set_registered_model_alias(MODEL, registry.CHAMPION, "3")
        until(lambda: stack.predict(MODEL, [grey(200)], "stable").version == 3, 60)
    finally:
        for process in filter(None, (listener, mlflow)):
            process.send_signal(signal.SIGINT)
            process.kill()
            process.wait()


def answers(url: str, post: bool = False) -> bool:
    """Whether somebody answers there, whatever they say."""
    try:
        urllib.request.urlopen(url, b"" if post else None, timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
