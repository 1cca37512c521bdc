"""A gRPC channel to a model server, with deadlines and retries."""

import os
import random
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from celflow.errors import UserError
from serving.client.errors import from_rpc_error
from serving.limits import MAX_MESSAGE_BYTES

DEFAULT_ADDRESS = "127.0.0.1:8500"
ADDRESS_VARIABLE = "CELFLOW_SERVER"

_FIRST_WAIT_SECONDS = 0.1  # between the first try and the second; doubled after each
_LONGEST_WAIT_SECONDS = 2.0
_LOOPBACK = ("127.", "localhost", "[::1]", "ipv4:127.", "ipv6:[::1]")


def default_address() -> str:
    """The address in CELFLOW_SERVER, or 127.0.0.1:8500."""
    return os.environ.get(ADDRESS_VARIABLE, "").strip() or DEFAULT_ADDRESS


def target(address: str) -> str:
    """What gRPC calls an address: several servers are `ipv4:HOST:PORT,HOST:PORT`.

    Raises:
        UserError: several servers, one of them by a name: gRPC takes numbers there.
    """
    first, *others = address.split(",")
    if not others or first.startswith(("ipv4:", "ipv6:")):
        return address
    for one in (first, *others):
        try:
            IPv4Address(one.strip().rpartition(":")[0])
        except ValueError:
            raise UserError(
                f"{one.strip()!r} among several servers must be IPv4:PORT, such as 10.0.0.1:8500;"
                " servers behind one name are dns:///NAME:PORT"
            ) from None
    return "ipv4:" + ",".join(one.strip() for one in (first, *others))


class Connection:
    """A channel to one address, or to several servers in turn.

    Attributes:
        address: host:port, or several with commas between.
        channel: for the stubs.
    """

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.address = address
        options = [
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # dns:///name:8500 may be many servers, such as the pods behind a headless service.
            ("grpc.lb_policy_name", "round_robin"),
            # A proxy from the environment cannot reach this machine's loopback.
            ("grpc.enable_http_proxy", 0 if target(address).startswith(_LOOPBACK) else 1),
        ]
        self.channel = (
            grpc.secure_channel(target(address), credentials, options)
            if credentials
            else grpc.insecure_channel(target(address), options)
        )

    def call(
        self,
        method: Callable[..., Any],
        request: Message,
        subject: str,
        timeout: float,
        patience: float,
    ) -> Any:
        """Call a stub's method; while the server is unavailable, try again after a while.

        Args:
            method: of a stub on `channel`.
            request: its message.
            subject: what it is about, for error messages.
            timeout: seconds for all tries together.
            patience: seconds to go on trying.

        Raises:
            ServerError: the last try failed.
        """
        now = time.monotonic()
        deadline = now + timeout
        last_try = min(deadline, now + patience)
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                return method(request, timeout=max(deadline - time.monotonic(), 0.001))
            except grpc.RpcError as error:
                unavailable = error.code() == grpc.StatusCode.UNAVAILABLE
                if not unavailable or time.monotonic() + wait > last_try:
                    raise from_rpc_error(error, self.address, subject) from None
            time.sleep(wait * random.uniform(0.8, 1.0))
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def is_healthy(self, timeout: float) -> bool:
        """Whether the server answers within `timeout` seconds and says that it is ready."""
        check = health_pb2_grpc.HealthStub(self.channel).Check  # type: ignore[attr-defined]
        try:
            response = check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError as error:
            # TensorFlow Serving has no health service, but it answers.
            return bool(error.code() == grpc.StatusCode.UNIMPLEMENTED)
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
