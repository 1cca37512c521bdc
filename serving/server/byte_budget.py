"""A budget of bytes that all requests of a server share."""

import math
import threading

import grpc

from serving.server import memory
from serving.server.status import StatusError

MESSAGES = 8
"""Messages of the largest size that the budget has space for."""

LARGE = 8 << 20
"""Bytes of a request after which free memory is given back to the system."""


class ByteBudget:
    """Counts the bytes that requests occupy; may be shared by threads.

    Args:
        largest_message: bytes that one message may have; -1 for any number, and no budget.
    """

    def __init__(self, largest_message: int) -> None:
        self.total: float = math.inf if largest_message < 0 else MESSAGES * largest_message
        self.held = 0
        self._lock = threading.Lock()

    def hold(self) -> "Hold":
        """What one request occupies, at first nothing."""
        return Hold(self)

    def take(self, count: int) -> bool:
        """Occupy `count` bytes more, or answer False where so many are not left."""
        with self._lock:
            if self.held + count > self.total:
                return False
            self.held += count
            return True

    def give_back(self, count: int) -> None:
        """Free `count` bytes."""
        with self._lock:
            self.held -= count


class Hold:
    """The bytes of one request; a `with` block frees them."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._count = 0

    def try_add(self, count: int) -> bool:
        """Occupy `count` bytes more, or answer False where so many are not left."""
        taken = self._budget.take(count)
        if taken:
            self._count += count
        return taken

    def add(self, count: int) -> None:
        """Occupy `count` bytes more.

        Raises:
            StatusError: RESOURCE_EXHAUSTED where so many are not left.
        """
        if not self.try_add(count):
            raise StatusError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the requests under way leave no space for {count} bytes more",
            )

    def release(self) -> None:
        """Free all of them."""
        self._budget.give_back(self._count)
        if self._count >= LARGE:
            memory.give_back_soon()
        self._count = 0

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


NO_BUDGET = ByteBudget(-1)
"""For requests that nobody sends, such as warm-up requests."""
