"""The threads that answer gRPC calls.

grpcio gives a call a thread as soon as its headers arrive, and the thread waits for the message: a
client that sends nothing but headers occupies all threads for good. Here a call gets a thread, and
counts, when its message is there. It takes private functions of grpcio (1.85) to do so; grpcio's
asyncio server would need none, but has half of the rate (docs/serving.md).
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import grpc._server as internals

from serving.server.api.fair_pool import FairPool
from serving.server.byte_budget import ByteBudget

STREAM_THREADS = 4
"""For calls of many messages: reflection."""

_cygrpc: Any = internals.cygrpc  # type: ignore[attr-defined]

_DONE: "Future[Any]" = Future()
_DONE.set_result(None)


class CallPool(ThreadPoolExecutor):
    """A thread pool for `grpc.server`.

    Args:
        threads: calls that run at a time.
        max_calls: calls that run or wait for a thread; further ones get RESOURCE_EXHAUSTED. One
            model cannot have all of the threads or places: see `FairPool`.
        silent_seconds: how long a call may wait for its message; then it is DEADLINE_EXCEEDED.
        budget: of the bytes of all messages; calls beyond it get RESOURCE_EXHAUSTED.
    """

    def __init__(
        self, threads: int, max_calls: int, silent_seconds: float, budget: ByteBudget
    ) -> None:
        super().__init__(STREAM_THREADS, thread_name_prefix="grpc-streams")
        self._pool = FairPool(threads, max_calls, "grpc")
        self._budget = budget
        self._silent = _SilentCalls(silent_seconds)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Called by grpcio for each call when its headers are there; `fn` answers it."""
        task, event, state, behavior, argument, parse, serialize = args
        if argument.__name__ != "unary_request":
            self._silent.add(state, event.call)
            return super().submit(fn, *args)

        def received(completed: Any) -> Any:
            self._silent.discard(state)
            self._received(
                completed.batch_operations[0].message(),
                event,
                state,
                parse,
                lambda message: fn(task, event, state, behavior, message, parse, serialize),
            )
            with state.condition:
                return internals._possibly_finish_call(state, internals._RECEIVE_MESSAGE_TOKEN)

        self._silent.add(state, event.call)
        event.call.start_server_batch((_cygrpc.ReceiveMessageOperation(0),), received)
        state.due.add(internals._RECEIVE_MESSAGE_TOKEN)
        return _DONE  # grpcio asks no more of it

    def _received(
        self,
        data: bytes | None,
        event: Any,
        state: Any,
        parse: Callable[[bytes], Any],
        answer: Callable[[Callable[[], Any]], None],
    ) -> None:
        """Put a call whose message is there into the queue for a thread, or refuse it."""
        if data is None:
            _abort(state, event.call, grpc.StatusCode.UNIMPLEMENTED, "the call has no message")
            return
        hold = self._budget.hold()
        if not hold.try_add(len(data)):
            _refuse(state, event.call, "the requests under way leave no space for this one")
            return
        model = _model(data)
        messages = [data]
        del data

        def message() -> Any:
            """The message; its bytes are not kept."""
            return parse(messages.pop()) if internals._is_rpc_state_active(state) else None

        def run() -> None:
            try:
                answer(message)
            finally:
                hold.release()

        if not self._pool.submit(model, run):
            hold.release()
            _refuse(state, event.call, "Concurrent RPC limit exceeded!")


def _model(request: bytes) -> bytes | None:
    """The model's name in a request whose first field is a `ModelSpec`; None for any other.

    Libraries write the fields in the order of their numbers, and name and spec have the first.
    """
    first_field = b"\x0a"  # its number, and the wire type of messages and strings
    if request[:1] == request[2:3] == first_field and request[3:4] < b"\x80":
        return request[4 : 4 + request[3]]
    return None


class _SilentCalls:
    """Calls whose message has not arrived; each is ended after some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._calls: dict[Any, tuple[float, Any]] = {}  # state to (when due, call), oldest first
        threading.Thread(target=self._end_them, name="grpc-silent", daemon=True).start()

    def add(self, state: Any, call: Any) -> None:
        with self._lock:
            self._calls[state] = (time.monotonic() + self._seconds, call)

    def discard(self, state: Any) -> None:
        with self._lock:
            self._calls.pop(state, None)

    def _end_them(self) -> None:
        while True:
            time.sleep(min(1.0, self._seconds / 10))
            now = time.monotonic()
            with self._lock:
                due = [(s, call) for s, (when, call) in self._calls.items() if when <= now]
                for state, _ in due:
                    del self._calls[state]
            for state, call in due:
                _abort(state, call, grpc.StatusCode.DEADLINE_EXCEEDED, "no message arrived")
            due.clear()


def _refuse(state: Any, call: Any, message: str) -> None:
    _abort(state, call, grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def _abort(state: Any, call: Any, code: grpc.StatusCode, message: str) -> None:
    """End a call that has not been answered."""
    with state.condition:
        if internals._is_rpc_state_active(state):
            internals._abort(state, call, internals._application_code(code), message.encode())
            state.condition.notify_all()
