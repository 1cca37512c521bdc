"""The gRPC side: PredictionService, ModelService, health and reflection."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from celflow.errors import UserError
from serving.limits import MAX_MESSAGE_BYTES
from serving.protos import (
    model_service_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
)
from serving.server.api.call_pool import CallPool
from serving.server.api.handlers import QUEUE_PER_THREAD, Handlers
from serving.server.api.reject_malformed import RejectMalformed
from serving.server.byte_budget import ByteBudget
from serving.server.deadline import Deadline
from serving.server.status import StatusError

log = logging.getLogger(__name__)

MAX_STREAMS = 100
"""Calls that a client may have open over one connection; it keeps further ones back."""

HEALTH_THREADS = 4

_SERVICES = [
    prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
]


@dataclass(frozen=True)
class Options:
    """How to listen.

    Attributes:
        address: host:port; empty for none.
        socket_path: of a Unix socket; empty for none.
        threads: requests that run at a time.
        credentials: for TLS; None for plain text.
        channel_arguments: of gRPC; they override this server's own.
        health: whether to offer gRPC's health service.
        silent_seconds: how long a call, or a new connection, may be open before it says anything.
    """

    address: str
    threads: int
    socket_path: str = ""
    credentials: grpc.ServerCredentials | None = None
    channel_arguments: Sequence[tuple[str, int | str]] = ()
    health: bool = False
    silent_seconds: float = 30.0


class GrpcServer:
    """The gRPC server, listening from the start; its health is SERVING once `ready` was called.

    Raises:
        UserError: it cannot listen there.
    """

    def __init__(self, handlers: Handlers, options: Options, budget: ByteBudget) -> None:
        max_calls = options.threads * (1 + QUEUE_PER_THREAD)
        arguments: dict[str, int | str] = {
            "grpc.so_reuseport": 0,  # otherwise a second server takes half of the requests
            "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
            "grpc.max_send_message_length": -1,
            "grpc.max_concurrent_streams": max(MAX_STREAMS, max_calls),
            "grpc.server_handshake_timeout_ms": round(1000 * options.silent_seconds),
            "grpc.keepalive_time_ms": 60_000,  # finds clients that are gone without a word
            **dict(options.channel_arguments),
        }
        self._server = grpc.server(
            CallPool(options.threads, max_calls, options.silent_seconds, budget),
            interceptors=[RejectMalformed()],
            options=list(arguments.items()),
        )
        names = [*_SERVICES, reflection.SERVICE_NAME]
        self._health: health.HealthServicer | None = None
        if options.health:
            # Each watcher occupies a thread: not one of those that answer requests.
            self._health = health.HealthServicer(
                experimental_non_blocking=True,
                experimental_thread_pool=CallPool(
                    HEALTH_THREADS, max_calls, options.silent_seconds, budget
                ),
            )
            self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            names.append(health.SERVICE_NAME)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(handlers, budget), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            _ModelService(handlers, budget), self._server
        )
        reflection.enable_server_reflection(names, self._server)
        if options.address:
            self._listen(options.address, options.credentials, "--port")
        if options.socket_path:
            address = f"unix:{options.socket_path}"
            self._listen(address, options.credentials, "--grpc_socket_path")

    def start(self) -> None:
        """Answer requests."""
        self._server.start()

    def ready(self) -> None:
        """Tell health checks that the first loads are done."""
        self._set_health(health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_seconds: float) -> threading.Event:
        """Refuse new requests; the event is set when those under way are done or out of grace."""
        if self._health:
            self._health.enter_graceful_shutdown()
        event: threading.Event = self._server.stop(grace_seconds)
        return event

    def _listen(self, address: str, credentials: grpc.ServerCredentials | None, flag: str) -> None:
        try:
            if credentials:
                self._server.add_secure_port(address, credentials)
            else:
                self._server.add_insecure_port(address)
        except RuntimeError:
            raise UserError(f"cannot listen on {address}: choose another {flag}") from None

    def _set_health(self, status: int) -> None:
        if self._health:
            for service in ("", *_SERVICES):
                self._health.set(service, status)


class _PredictionService:
    def __init__(self, handlers: Handlers, budget: ByteBudget) -> None:
        self.Predict = _method(handlers.predict, budget)
        self.Classify = _method(handlers.classify, budget)
        self.Regress = _method(handlers.regress, budget)
        self.MultiInference = _method(handlers.multi_inference, budget)
        self.GetModelMetadata = _method(handlers.get_model_metadata, budget)


class _ModelService:
    def __init__(self, handlers: Handlers, budget: ByteBudget) -> None:
        self.GetModelStatus = _method(handlers.get_model_status, budget)
        self.HandleReloadConfigRequest = _method(handlers.reload_config, budget)


def _method(
    handler: Callable[[Any, Deadline], Message], budget: ByteBudget
) -> Callable[[Message, grpc.ServicerContext], Message]:
    """A servicer's method: every failure becomes a status with one line, never a traceback."""

    def method(request: Message, context: grpc.ServicerContext) -> Message:
        try:
            answer = handler(request, _deadline(context))
            hold = budget.hold()
            hold.add(answer.ByteSize())
            # Until the client has read it, however slowly.
            if not context.add_callback(hold.release):
                hold.release()
            return answer
        except StatusError as error:
            code, message = error.code, error.message
        except Exception:
            log.exception("%s failed", type(request).__name__)
            code, message = grpc.StatusCode.INTERNAL, "internal error: see the server's log"
        context.abort(code, message)

    return method


def _deadline(context: grpc.ServicerContext) -> Deadline:
    seconds = context.time_remaining()
    expires = math.inf if seconds is None else time.monotonic() + seconds
    return Deadline(expires, context.is_active)
