"""The REST side: the same requests as JSON, on a thread of its own."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

import grpc
import uvicorn
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.limits import MAX_MESSAGE_BYTES
from serving.protos import model_pb2
from serving.server.api.fair_pool import FairPool
from serving.server.api.handlers import QUEUE_PER_THREAD, Handlers
from serving.server.api.json_output import json_bytes
from serving.server.api.rest_endpoints import (
    JsonObject,
    ModelRequest,
    RestEndpoints,
    body_too_large,
)
from serving.server.api.rest_protocol import Arrivals
from serving.server.byte_budget import ByteBudget
from serving.server.deadline import Deadline
from serving.server.status import StatusError, invalid

log = logging.getLogger(__name__)

METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]
"""Methods that are refused in JSON where no route has them."""

_HTTP_STATUS = {
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

AsyncEndpoint = Callable[[Request], Awaitable[Response]]
BodyEndpoint = Callable[[Request, bytearray], Awaitable[Response]]


@dataclass(frozen=True)
class Options:
    """How to answer.

    Attributes:
        threads: requests that run at a time.
        timeout_seconds: how long a request may take to arrive, to be answered, to be read.
        metrics_path: where Prometheus finds the metrics; None for nowhere.
    """

    threads: int
    timeout_seconds: float = 30.0
    metrics_path: str | None = None


class RestServer:
    """The REST server on a socket that already listens."""

    def __init__(
        self, handlers: Handlers, listener: socket.socket, options: Options, budget: ByteBudget
    ) -> None:
        self._listener = listener
        arrivals = Arrivals(budget, options.timeout_seconds)
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(handlers, options, budget),
                http=cast(type[asyncio.Protocol], arrivals.protocol),
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


def application(handlers: Handlers, options: Options, budget: ByteBudget) -> Starlette:
    """The REST API as an ASGI application."""
    endpoints = RestEndpoints(handlers)
    runner = _Runner(options, budget)
    answer = runner.in_thread
    model = "/v1/models/{spec:model_spec}"

    async def metrics(request: Request, body: bytearray) -> Response:
        return Response(handlers.metrics_page(), media_type="text/plain")

    routes: list[BaseRoute] = [
        _ApiRoute("GET", model, answer(endpoints.status)),
        _ApiRoute("GET", model + "/metadata", answer(endpoints.metadata)),
        _ApiRoute("POST", model + ":predict", answer(endpoints.predict)),
        _ApiRoute("POST", model + ":classify", answer(endpoints.classify)),
        _ApiRoute("POST", model + ":regress", answer(endpoints.regress)),
        Route("/{path:path}", runner.limited(_no_such_path), methods=METHODS),
    ]
    if options.metrics_path and options.metrics_path.startswith("/"):
        path, endpoint = options.metrics_path, runner.limited(metrics)
        routes.insert(0, _ApiRoute("GET", path, endpoint, ignore_case=False))
    return Starlette(
        routes=routes,
        middleware=[Middleware(_PathAsSent)],
        exception_handlers={StatusError: _refuse},
    )


class _PathAsSent:
    """Routes by the path as it was sent: in "a%2Fb" the slash is part of a model's name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if raw_path := scope.get("raw_path"):
            scope = {**scope, "path": raw_path.decode("latin-1")}
        await self._app(scope, receive, send)


class _ApiRoute(Route):
    """A route of one method, without Starlette's HEAD for each GET and its 405 for the others."""

    def __init__(
        self, method: str, path: str, endpoint: AsyncEndpoint, ignore_case: bool = True
    ) -> None:
        super().__init__(path, endpoint)
        self.methods = {method}
        if ignore_case:
            self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return (Match.NONE, {}) if match is Match.PARTIAL else (match, child_scope)


class _ModelSpecConvertor(Convertor[str]):
    """`NAME`, `NAME/versions/1` or `NAME/labels/LABEL`."""

    regex = r"[^/:]+(?:/versions/\d+|/labels/[^/:]+)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("model_spec", _ModelSpecConvertor())


class _Runner:
    """Runs endpoints: a limited number at a time, each for a limited time."""

    def __init__(self, options: Options, budget: ByteBudget) -> None:
        self._max_requests = options.threads * (1 + QUEUE_PER_THREAD)
        self._pool = FairPool(options.threads, self._max_requests, "rest")
        self._budget = budget
        self._timeout_seconds = options.timeout_seconds
        self._requests = 0

    def limited(self, endpoint: BodyEndpoint) -> AsyncEndpoint:
        """`endpoint`, but too many requests are refused, and failures logged.

        A request counts when its body has arrived as a whole.
        """

        async def run(request: Request) -> Response:
            try:
                body = await _body(request)
            except ClientDisconnect:
                return Response(status_code=499)  # for nobody
            self._requests += 1
            try:
                if self._requests > self._max_requests:
                    raise _too_many()
                return await endpoint(request, body)
            except StatusError:
                raise
            except Exception:
                log.exception("%s %s failed", request.method, request.url.path)
                message = "internal error: see the server's log"
                raise StatusError(grpc.StatusCode.INTERNAL, message) from None
            finally:
                self._requests -= 1

        return run

    def in_thread(self, endpoint: Callable[[ModelRequest], JsonObject]) -> AsyncEndpoint:
        """`endpoint` on a thread of the pool, with a deadline."""

        async def run(request: Request, body: bytearray) -> Response:
            deadline = Deadline(time.monotonic() + self._timeout_seconds)
            spec = _model_spec(request.path_params["spec"])
            is_gzip = "gzip" in request.headers.get("content-encoding", "")
            hold = self._budget.hold()
            hold.add(len(body))
            model_request = ModelRequest(spec, body, is_gzip, deadline, hold)
            future: Future[Response] = Future()
            future.add_done_callback(lambda _: hold.release())  # later than a 504

            def respond() -> None:
                if not future.set_running_or_notify_cancel():
                    return
                try:
                    future.set_result(_respond(endpoint, model_request))
                except Exception as error:
                    future.set_exception(error)

            if not self._pool.submit(spec.name, respond):
                future.cancel()
                raise _too_many()
            try:
                return await asyncio.wait_for(asyncio.wrap_future(future), self._timeout_seconds)
            except asyncio.TimeoutError:
                raise self._too_slow() from None
            except StatusError as error:  # the graph was stopped first
                if error.code == grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise self._too_slow() from None
                raise

        return self.limited(run)

    def _too_slow(self) -> StatusError:
        message = f"the request took longer than {self._timeout_seconds:g} s"
        return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, message)


def _too_many() -> StatusError:
    return StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")


def _respond(endpoint: Callable[[ModelRequest], JsonObject], request: ModelRequest) -> Response:
    try:
        return Response(json_bytes(endpoint(request)), media_type="application/json")
    except UnicodeEncodeError:  # half of a surrogate pair
        raise invalid("JSON Parse error: a string is not Unicode") from None


def _model_spec(path: str) -> model_pb2.ModelSpec:
    """What `_ModelSpecConvertor` matches, as a message."""
    name, _, choice = path.partition("/")
    kind, _, value = choice.partition("/")
    spec = model_pb2.ModelSpec(name=unquote(name))
    if kind.lower() == "versions":
        if len(value) > 18:  # more digits than an int64 has
            raise invalid(f"Failed to convert version: {value} to numeric.")
        spec.version.value = int(value)
    elif kind:
        spec.version_label = unquote(value)
    return spec


async def _no_such_path(request: Request, body: bytearray) -> Response:
    path: str = request.scope["path"]
    if request.method == "GET" and path.lower().rstrip("/") == "/v1/models":
        raise invalid("Missing model name in request.")
    if not path.lower().startswith("/v1/"):
        raise StatusError(grpc.StatusCode.NOT_FOUND, f"nothing is at {path}")
    raise invalid(f"Malformed request: {request.method} {path}")


async def _body(request: Request) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_MESSAGE_BYTES:
            raise body_too_large()
    return body


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)
    text = json.dumps({"error": error.message})  # also of what is not Unicode
    return Response(text, _HTTP_STATUS.get(error.code, 500), media_type="application/json")
