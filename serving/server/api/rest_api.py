"""The REST side: the same requests as JSON, on a thread of its own."""

import asyncio
import json
import re
import socket
import threading
from dataclasses import dataclass
from typing import cast

import grpc
import uvicorn
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.server.api.handlers import Handlers
from serving.server.api.rest_cors import Cors
from serving.server.api.rest_endpoints import RestEndpoints
from serving.server.api.rest_protocol import Arrivals
from serving.server.api.rest_runner import AsyncEndpoint, Runner
from serving.server.byte_budget import ByteBudget
from serving.server.status import StatusError, invalid

READY = "/v1/ready"
"""Answers 200 once the first loads are done, 503 before: this server's own URL."""

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


@dataclass(frozen=True)
class Options:
    """How to answer.

    Attributes:
        threads: requests that run at a time.
        timeout_seconds: how long a request may take to arrive, to be answered, to be read.
        metrics_path: where Prometheus finds the metrics; None for nowhere.
        cors: whether pages of other origins may ask.
    """

    threads: int
    timeout_seconds: float = 30.0
    metrics_path: str | None = None
    cors: bool = False


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
    runner = Runner(options.threads, options.timeout_seconds, budget)
    answer = runner.in_thread
    model = "/v1/models/{spec:model_spec}"

    async def metrics(request: Request, body: bytearray) -> Response:
        return Response(handlers.metrics_page(), media_type="text/plain")

    async def ready(request: Request, body: bytearray) -> Response:
        return Response(status_code=200 if handlers.is_ready() else 503)

    routes: list[BaseRoute] = [
        _ApiRoute("GET", model, answer(endpoints.status)),
        _ApiRoute("GET", model + "/metadata", answer(endpoints.metadata)),
        _ApiRoute("POST", model + ":predict", answer(endpoints.predict)),
        _ApiRoute("POST", model + ":classify", answer(endpoints.classify)),
        _ApiRoute("POST", model + ":regress", answer(endpoints.regress)),
        _ApiRoute("GET", "/v1/models", answer(endpoints.models)),
        Route(READY, runner.limited(ready), methods=["GET"]),
        Route("/{path:path}", runner.limited(_no_such_path), methods=METHODS),
    ]
    if options.metrics_path and options.metrics_path.startswith("/"):
        path, endpoint = options.metrics_path, runner.limited(metrics)
        routes.insert(0, _ApiRoute("GET", path, endpoint, ignore_case=False))
    return Starlette(
        routes=routes,
        middleware=[*([Middleware(Cors)] if options.cors else []), Middleware(_PathAsSent)],
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


async def _no_such_path(request: Request, body: bytearray) -> Response:
    path: str = request.scope["path"]
    if not path.lower().startswith("/v1/"):
        raise StatusError(grpc.StatusCode.NOT_FOUND, f"nothing is at {path}")
    raise invalid(f"Malformed request: {request.method} {path}")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)
    text = json.dumps({"error": error.message})  # also of what is not Unicode
    return Response(text, _HTTP_STATUS.get(error.code, 500), media_type="application/json")
