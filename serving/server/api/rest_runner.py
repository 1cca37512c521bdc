"""How REST requests are run: a limited number at a time, each for a limited time, on threads."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from urllib.parse import unquote

import grpc
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving.limits import MAX_MESSAGE_BYTES
from serving.protos import model_pb2
from serving.server.api.fair_pool import FairPool
from serving.server.api.handlers import QUEUE_PER_THREAD
from serving.server.api.json_output import json_bytes
from serving.server.api.rest_endpoints import JsonObject, ModelRequest, body_too_large
from serving.server.byte_budget import ByteBudget
from serving.server.deadline import Deadline
from serving.server.status import StatusError, invalid

log = logging.getLogger(__name__)

AsyncEndpoint = Callable[[Request], Awaitable[Response]]
BodyEndpoint = Callable[[Request, bytearray], Awaitable[Response]]


class Runner:
    """Runs endpoints: a limited number at a time, each for a limited time."""

    def __init__(self, threads: int, timeout_seconds: float, budget: ByteBudget) -> None:
        self._max_requests = threads * (1 + QUEUE_PER_THREAD)
        self._pool = FairPool(threads, self._max_requests, "rest")
        self._budget = budget
        self._timeout_seconds = timeout_seconds
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
            spec = _model_spec(request.path_params.get("spec", ""))
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


async def _body(request: Request) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_MESSAGE_BYTES:
            raise body_too_large()
    return body
