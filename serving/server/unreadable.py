"""Requests that are no message of their kind.

grpcio refuses them itself, but keeps what it knows of each call, 20 KB, for ever (1.85, a server
of its own without any of ours): whoever sends rubbish fills the memory. So it never gets to know.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import grpc
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

UNREADABLE = object()


class Readable(grpc.ServerInterceptor):  # type: ignore[misc]
    """Answers INTERNAL, as gRPC does, to what cannot be read."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """The method's handler, or None where there is no such method."""
        handler = self._handlers.get(details.method)
        if handler is None and (handler := continuation(details)):
            handler = self._handlers[details.method] = _guarded(handler)
        return handler


def _guarded(handler: Any) -> Any:
    """The same handler, which reads anything and refuses what it could not read."""

    def read(data: bytes) -> Any:
        try:
            return handler.request_deserializer(data)
        except DecodeError:
            return UNREADABLE

    if handler.request_streaming:  # the answer fails, and grpcio ends the call
        return handler._replace(request_deserializer=read)
    kind = "unary_stream" if handler.response_streaming else "unary_unary"
    answer = getattr(handler, kind)

    @wraps(answer)
    def checked(request: Any, context: Any, *more: Any) -> Any:
        if request is UNREADABLE:
            context.abort(grpc.StatusCode.INTERNAL, "the request cannot be parsed")
        return answer(request, context, *more)

    return handler._replace(request_deserializer=read, **{kind: checked})
