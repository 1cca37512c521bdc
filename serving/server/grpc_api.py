"""The gRPC side: PredictionService, ModelService, health and reflection."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from celflow.errors import UserError
from serving.protos import (
    model_service_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
)
from serving.server import requests
from serving.server.caller import Caller
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.status import StatusError
from serving.server.unreadable import Readable

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 << 20
"""Largest request, unless --grpc_channel_arguments has grpc.max_receive_message_length."""

QUEUE_PER_THREAD = 8
"""Requests that may wait for each thread; more are refused at once with RESOURCE_EXHAUSTED."""

_SERVICES = [
    prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
]


@dataclass(frozen=True)
class Options:
    """How to listen.

    Attributes:
        address: host:port; port 0 lets the system pick one.
        socket_path: of a Unix socket; empty for none.
        threads: requests that run at a time.
        credentials: for TLS; None for plain text.
        channel_arguments: for gRPC, the last word where ours say otherwise.
        health: whether to offer gRPC's health service.
    """

    address: str
    threads: int
    socket_path: str = ""
    credentials: Any = None
    channel_arguments: Sequence[tuple[str, int | str]] = ()
    health: bool = False


class GrpcServer:
    """The gRPC server, listening from the start; its health is SERVING once `ready` was called.

    Attributes:
        port: the port it listens on.

    Raises:
        UserError: it cannot listen there.
    """

    def __init__(self, manager: Manager[Any], metrics: Metrics, options: Options) -> None:
        threads = options.threads
        settings: dict[str, int | str] = {
            "grpc.so_reuseport": 0,  # otherwise a second server takes half of the requests
            "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
            "grpc.max_send_message_length": -1,
            **dict(options.channel_arguments),
        }
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            interceptors=[Readable()],
            maximum_concurrent_rpcs=threads * (1 + QUEUE_PER_THREAD),
            options=list(settings.items()),
        )
        names = [*_SERVICES, reflection.SERVICE_NAME]
        self._health: Any = None
        if options.health:
            # Watchers wait in a thread each: not in those that answer requests.
            self._health = health.HealthServicer(
                experimental_non_blocking=True,
                experimental_thread_pool=ThreadPoolExecutor(4, thread_name_prefix="health"),
            )
            self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            names.append(health.SERVICE_NAME)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(manager, metrics), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            _ModelService(manager, metrics), self._server
        )
        reflection.enable_server_reflection(names, self._server)
        self.port = self._listen(options.address, options.credentials, "--port")
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

    def _listen(self, address: str, credentials: Any, flag: str) -> int:
        try:
            if credentials:
                return int(self._server.add_secure_port(address, credentials))
            return int(self._server.add_insecure_port(address))
        except RuntimeError:
            raise UserError(f"cannot listen on {address}: choose another {flag}") from None

    def _set_health(self, status: Any) -> None:
        if self._health:
            for service in ("", *_SERVICES):
                self._health.set(service, status)


class _Service:
    def __init__(self, manager: Manager[Any], metrics: Metrics) -> None:
        self.manager = manager
        self.metrics = metrics


def _handler(work: requests.Answer) -> Callable[[_Service, Any, Any], Any]:
    """A servicer's method: every failure becomes a status with one line, none a traceback."""

    def handle(self: _Service, request: Any, context: Any) -> Any:
        try:
            caller = _caller(context)
            return requests.answer(work, self.manager, self.metrics, "GRPC", request, caller)
        except StatusError as error:
            code, message = error.code, error.message
        except Exception:
            log.exception("%s failed", type(request).__name__)
            code, message = grpc.StatusCode.INTERNAL, "internal error: see the server's log"
        return context.abort(code, message)

    return handle


def _caller(context: Any) -> Caller:
    seconds = context.time_remaining()
    if seconds is None:
        return Caller(waits=context.is_active)
    return Caller(time.monotonic() + seconds, context.is_active)


class _PredictionService(_Service):
    Predict = _handler(requests.predict)
    Classify = _handler(requests.classify)
    Regress = _handler(requests.regress)
    MultiInference = _handler(requests.multi_inference)
    GetModelMetadata = _handler(requests.model_metadata)


class _ModelService(_Service):
    GetModelStatus = _handler(requests.model_status)
    HandleReloadConfigRequest = _handler(requests.reload_config)
