"""Who waits for an answer, and for how long: what nobody waits for any more is not begun."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from serving.server.status import StatusError


@dataclass(frozen=True)
class Caller:
    """The other end of a request.

    Attributes:
        deadline: of `time.monotonic()`, in seconds.
        waits: whether it is still there.
    """

    deadline: float = math.inf
    waits: Callable[[], bool] = lambda: True

    @property
    def seconds(self) -> float:
        """What is left, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def check(self) -> None:
        """Refuse to begin what nobody waits for.

        Raises:
            StatusError: DEADLINE_EXCEEDED or CANCELLED.
        """
        if self.deadline < time.monotonic():
            raise StatusError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the request started"
            )
        if not self.waits():
            raise StatusError(
                grpc.StatusCode.CANCELLED, "the request was given up before it started"
            )


NOBODY = Caller()
"""A caller without a deadline, as a warm-up is."""
