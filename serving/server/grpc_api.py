"""The gRPC side: PredictionService, ModelService, health and reflection."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from serving.server.manager import Manager
from serving.server.status import StatusError

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 << 20
QUEUE_PER_THREAD = 8
"""Requests that may wait for each thread; more are refused at once with RESOURCE_EXHAUSTED."""

_SERVICES = [
    prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
]


class GrpcServer:
    """The gRPC server, listening from the start; its health is SERVING once `ready` was called.

    Args:
        address: host:port; port 0 lets the system pick one.
        threads: requests that run at a time.

    Attributes:
        port: the port it listens on.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, manager: Manager[Any], address: str, threads: int) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            maximum_concurrent_rpcs=threads * (1 + QUEUE_PER_THREAD),
            options=[
                ("grpc.so_reuseport", 0),  # otherwise a second server takes half of the requests
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", -1),
            ],
        )
        # Watchers of the health service wait in a thread each: not in those that answer requests.
        self._health = health.HealthServicer(
            experimental_non_blocking=True,
            experimental_thread_pool=ThreadPoolExecutor(4, thread_name_prefix="health"),
        )
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(manager), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            _ModelService(manager), self._server
        )
        reflection.enable_server_reflection(
            [*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError:
            raise UserError(f"cannot listen on {address}: choose another --port") from None

    def start(self) -> None:
        """Answer requests."""
        self._server.start()

    def ready(self) -> None:
        """Tell health checks that the first loads are done."""
        self._set_health(health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_seconds: float) -> threading.Event:
        """Refuse new requests; the event is set when those under way are done or out of grace."""
        self._health.enter_graceful_shutdown()
        event: threading.Event = self._server.stop(grace_seconds)
        return event

    def _set_health(self, status: Any) -> None:
        for service in ("", *_SERVICES):
            self._health.set(service, status)


def _handler(answer: Callable[[Manager[Any], Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """A servicer's method: every failure becomes a status with one line, none a traceback."""

    def handle(self: "_Service", request: Any, context: Any) -> Any:
        if not context.is_active():  # its caller gave up while it waited for a thread
            context.abort(grpc.StatusCode.CANCELLED, "the request was given up before it started")
        try:
            return answer(self.manager, request)
        except StatusError as error:
            code, message = error.code, error.message
        except Exception:
            log.exception("%s failed", type(request).__name__)
            code, message = grpc.StatusCode.INTERNAL, "internal error: see the server's log"
        return context.abort(code, message)

    return handle


class _Service:
    def __init__(self, manager: Manager[Any]) -> None:
        self.manager = manager


class _PredictionService(_Service):
    Predict = _handler(requests.predict)
    GetModelMetadata = _handler(requests.model_metadata)
    Classify = _handler(requests.unimplemented)
    Regress = _handler(requests.unimplemented)
    MultiInference = _handler(requests.unimplemented)


class _ModelService(_Service):
    GetModelStatus = _handler(requests.model_status)
    HandleReloadConfigRequest = _handler(requests.reload_config)
