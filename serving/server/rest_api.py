"""The REST side: the same requests as JSON, on a thread of its own."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote

import grpc
import uvicorn
from google.protobuf import json_format  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from serving.server import json_examples, json_tensor, requests
from serving.server.caller import Caller
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.status import StatusError, invalid, one_line
from serving.tensors import to_array, to_proto

log = logging.getLogger(__name__)

METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]
"""All of them: what is not answered is refused in JSON."""

MAX_BODY_BYTES = 64 << 20
QUEUE_PER_THREAD = 8
"""Requests that may wait for each thread; more are refused at once with 429."""

_SPEC = r"/v1/models/(?P<model>[^/:]+)(/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"{_SPEC}:(?P<verb>predict|classify|regress)", re.IGNORECASE)
_GET = re.compile(rf"{_SPEC}(?P<metadata>/metadata)?", re.IGNORECASE)
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


@dataclass(frozen=True)
class Options:
    """How to answer.

    Attributes:
        threads: requests that run at a time.
        timeout_seconds: how long a request may take, its body's way here not counted.
        metrics_path: where Prometheus finds the metrics; None for nowhere.
    """

    threads: int
    timeout_seconds: float = 30.0
    metrics_path: str | None = None


class RestServer:
    """The REST server on a socket that already listens."""

    def __init__(
        self, manager: Manager[Any], metrics: Metrics, listener: socket.socket, options: Options
    ) -> None:
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(manager, metrics, options),
                log_config=None,
                access_log=False,
                lifespan="off",
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


def application(manager: Manager[Any], metrics: Metrics, options: Options) -> Starlette:
    """The REST API as an ASGI application."""
    pool = ThreadPoolExecutor(options.threads, thread_name_prefix="rest")
    room = options.threads * (1 + QUEUE_PER_THREAD)
    busy = 0

    async def endpoint(request: Request) -> Response:
        nonlocal busy
        busy += 1
        try:
            if busy > room:
                raise StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")
            return await _answer(request)
        except StatusError as error:
            return _json({"error": error.message}, _HTTP.get(error.code, 500))
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            return _json({"error": "internal error: see the server's log"}, 500)
        finally:
            busy -= 1

    async def _answer(request: Request) -> Response:
        path = request.scope.get("raw_path", b"").decode("latin-1") or request.url.path
        if request.method == "GET" and path == options.metrics_path:
            return Response(metrics.page(), media_type="text/plain")
        body = await _body(request)
        packed = "gzip" in request.headers.get("content-encoding", "")
        content = partial(_unpacked if packed else bytes, body)
        caller = Caller(time.monotonic() + options.timeout_seconds)
        work = _route(manager, metrics, caller, request.method, path, content)
        future = asyncio.get_running_loop().run_in_executor(pool, work)
        try:
            return await asyncio.wait_for(future, options.timeout_seconds)
        except asyncio.TimeoutError:
            raise StatusError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"the request took longer than {options.timeout_seconds:g} s",
            ) from None

    return Starlette(routes=[Route("/{path:path}", endpoint, methods=METHODS)])


def _route(
    manager: Manager[Any],
    metrics: Metrics,
    caller: Caller,
    method: str,
    path: str,
    content: Callable[[], bytes],
) -> Callable[[], Response]:
    """What a path asks for, to be done on a thread; raises `StatusError`."""
    pattern = {"GET": _GET, "POST": _POST}.get(method)
    match = pattern and pattern.fullmatch(path)
    if not match:
        if method == "GET" and path.lower().rstrip("/") == "/v1/models":
            raise invalid("Missing model name in request.")
        if not path.lower().startswith("/v1/"):
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"nothing is at {path}")
        raise invalid(f"Malformed request: {method} {path}")
    spec = model_pb2.ModelSpec(name=unquote(match["model"]))
    if match["version"]:
        if len(match["version"]) > 18:
            raise invalid(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    elif match["label"]:
        spec.version_label = unquote(match["label"])

    def do(work: requests.Answer, request: Any) -> Any:
        return requests.answer(work, manager, metrics, "REST", request, caller)

    if method == "GET":
        return lambda: _json(_metadata(do, spec) if match["metadata"] else _status(do, spec))
    verb = {"predict": _predict, "classify": _classify, "regress": _regress}[match["verb"].lower()]

    def ask() -> Response:
        query = _parse(content())
        try:
            spec.signature_name = query.get("signature_name", "")
            return _json(verb(manager, do, spec, query))
        except UnicodeEncodeError:  # half of a surrogate pair
            raise invalid("JSON Parse error: a string is not Unicode") from None

    return ask


Do = Callable[[requests.Answer, Any], Any]
"""Answers a message, and counts it."""


def _parse(body: bytes) -> dict[str, Any]:
    try:
        query = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {one_line(str(error))}") from None
    if not isinstance(query, dict):
        raise invalid("JSON Parse error: the body must be an object")
    if not isinstance(query.get("signature_name", ""), str):
        raise invalid("'signature_name' key must be a string value.")
    return query


def _predict(manager: Manager[Any], do: Do, spec: Any, query: dict[str, Any]) -> Any:
    infos = manager.find(spec).input_infos(spec.signature_name)
    inputs, by_row = json_tensor.inputs(query, infos)
    request = predict_pb2.PredictRequest(model_spec=spec)
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(to_proto(array))
    response = do(requests.predict, request)
    outputs = {name: to_array(proto) for name, proto in sorted(response.outputs.items())}
    return json_tensor.rows(outputs) if by_row else json_tensor.columns(outputs)


def _classify(manager: Manager[Any], do: Do, spec: Any, query: dict[str, Any]) -> Any:
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    json_examples.fill_input(query, request.input)
    return json_examples.classifications(do(requests.classify, request).result)


def _regress(manager: Manager[Any], do: Do, spec: Any, query: dict[str, Any]) -> Any:
    request = regression_pb2.RegressionRequest(model_spec=spec)
    json_examples.fill_input(query, request.input)
    return json_examples.regressions(do(requests.regress, request).result)


def _status(do: Do, spec: Any) -> Any:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
    return _as_dict(do(requests.model_status, request))


def _metadata(do: Do, spec: Any) -> Any:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=["signature_def"]
    )
    response = do(requests.model_metadata, request)
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


async def _body(request: Request) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return body


def _unpacked(body: bytearray) -> bytes:
    """The bytes in one gzip; no more of them than a body may have."""
    unpack = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = unpack.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise invalid(f"the body is no gzip: {error}") from None
    if len(content) > MAX_BODY_BYTES:
        raise _too_large()
    if not unpack.eof:
        raise invalid("the body is no gzip: it ends too soon")
    return content


def _too_large() -> StatusError:
    return invalid(f"the body is larger than {MAX_BODY_BYTES >> 20} MB")


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, indent=1), status, media_type="application/json")
