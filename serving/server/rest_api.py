"""The REST side: the same requests as JSON, on a thread of its own."""

import asyncio
import json
import logging
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import uvicorn
from google.protobuf import json_format  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.protos import get_model_metadata_pb2, get_model_status_pb2, model_pb2
from serving.server import json_tensor, requests
from serving.server.manager import Manager
from serving.server.status import StatusError, invalid, one_line

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 << 20

_PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)"
    r"(/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?"
    r"(:(?P<verb>predict|classify|regress)|(?P<metadata>/metadata))?"
)
_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class RestServer:
    """The REST server on a socket that already listens.

    Args:
        listener: a bound socket.
        threads: requests that run at a time.
    """

    def __init__(self, manager: Manager[Any], listener: socket.socket, threads: int) -> None:
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(manager, threads), log_config=None, access_log=False, lifespan="off"
            )
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)

    def start(self) -> None:
        """Answer requests."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> threading.Event:
        """Refuse new requests; the event is set when those under way are done or out of grace."""
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_seconds))
        self._server.should_exit = True
        return self._stopped

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._stopped.set()


def application(manager: Manager[Any], threads: int) -> Starlette:
    """The REST API as an ASGI application."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")

    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request)
            work = _route(manager, request.method, request.url.path, body)
            answer = await asyncio.get_running_loop().run_in_executor(pool, work)
            return _json(answer)
        except StatusError as error:
            return _json({"error": error.message}, _HTTP.get(error.code, 500))
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            return _json({"error": "internal error: see the server's log"}, 500)

    return Starlette(routes=[Route("/{path:path}", endpoint, methods=["GET", "POST"])])


def _route(manager: Manager[Any], method: str, path: str, body: bytes) -> Callable[[], Any]:
    match = _PATH.fullmatch(path)
    malformed = invalid(f"Malformed request: {method} {path}")
    if match is None:
        raise malformed
    spec = model_pb2.ModelSpec(name=match["model"])
    if match["version"]:
        spec.version.value = int(match["version"])
    elif match["label"]:
        spec.version_label = match["label"]
    if method == "POST" and match["verb"] == "predict":
        return lambda: _predict(manager, spec, body)
    if method == "POST" and match["verb"]:
        raise StatusError(
            grpc.StatusCode.UNIMPLEMENTED,
            f":{match['verb']} is not implemented by this server: use :predict",
        )
    if method == "GET" and match["metadata"]:
        return lambda: _metadata(manager, spec)
    if method == "GET" and not match["verb"]:
        return lambda: _status(manager, spec)
    raise malformed


def _predict(manager: Manager[Any], spec: Any, body: bytes) -> Any:
    servable = manager.find(spec)
    try:
        query = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {one_line(str(error))}") from None
    if not isinstance(query, dict):
        raise invalid("JSON Parse error: the body must be an object")
    signature = query.get("signature_name", "")
    if not isinstance(signature, str):
        raise invalid("'signature_name' key must be a string value.")
    inputs, by_row = json_tensor.inputs(query, servable.input_specs(signature))
    outputs = servable.run(signature, inputs)
    return json_tensor.rows(outputs) if by_row else json_tensor.columns(outputs)


def _status(manager: Manager[Any], spec: Any) -> Any:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
    return _as_dict(requests.model_status(manager, request))


def _metadata(manager: Manager[Any], spec: Any) -> Any:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=["signature_def"]
    )
    response = requests.model_metadata(manager, request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return {
        "model_spec": _as_dict(response.model_spec),
        "metadata": {"signature_def": _as_dict(signatures)},
    }


def _as_dict(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise invalid(f"the body is larger than {MAX_BODY_BYTES >> 20} MB")
    return bytes(body)


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, indent=1), status, media_type="application/json")
