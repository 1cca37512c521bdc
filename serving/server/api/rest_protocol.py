"""HTTP connections that cannot be held open, or filled, for good."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.server.byte_budget import ByteBudget, Hold


class Arrivals:
    """The requests that are arriving, of all connections, the oldest first.

    Args:
        budget: of their bytes; where it is used up, the oldest requests are given up.
        seconds: that each of them has, from its first byte (of the first: from the connection) to
            its last.
    """

    def __init__(self, budget: ByteBudget, seconds: float) -> None:
        self.seconds = seconds
        self._budget = budget
        self._holds: dict[TimedProtocol, Hold] = {}

    def protocol(self, *args: Any, **kwargs: Any) -> "TimedProtocol":
        """What uvicorn makes for each connection."""
        return TimedProtocol(self, *args, **kwargs)

    def add(self, connection: "TimedProtocol", size: int) -> None:
        """Count bytes of a request that has not arrived as a whole."""
        hold = self._holds.setdefault(connection, self._budget.hold())
        while not hold.try_add(size):
            oldest = next(iter(self._holds))
            oldest.give_up(b"429 Too Many Requests")
            if oldest is connection:
                return

    def discard(self, connection: "TimedProtocol") -> None:
        """The request is there, or its connection is gone."""
        if hold := self._holds.pop(connection, None):
            hold.release()


class TimedProtocol(H11Protocol):
    """A connection whose requests must arrive, and whose answers must be read, in time."""

    def __init__(self, arrivals: Arrivals, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arrivals = arrivals
        self._arriving: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch(0)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        super().data_received(data)
        self._watch(len(data))

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()  # goes on with a request that was sent ahead
        self._watch(0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_watching()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read: some seconds, then the connection is cut."""
        super().pause_writing()
        self._leaving = self.loop.call_later(self._arrivals.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._leaving:
            self._leaving.cancel()
            self._leaving = None

    def give_up(self, status: bytes) -> None:
        """Answer with `status` where nothing was answered, and close the connection."""
        self._stop_watching()
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        self.transport.close()

    def _watch(self, size: int) -> None:
        state = self.conn.their_state
        in_head = state is h11.IDLE and (self.cycle is None or bool(self.conn.trailing_data[0]))
        if self.transport.is_closing() or not (in_head or state is h11.SEND_BODY):
            self._stop_watching()
            return
        if self._arriving is None:
            self._arriving = self.loop.call_later(
                self._arrivals.seconds, self.give_up, b"408 Request Timeout"
            )
        self._arrivals.add(self, size)

    def _stop_watching(self) -> None:
        self._arrivals.discard(self)
        if self._arriving:
            self._arriving.cancel()
            self._arriving = None
