"""Deadlines: a request that nobody waits for any more is not started."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from serving.server.status import StatusError


@dataclass(frozen=True)
class Deadline:
    """How long the client of a request waits for the answer.

    Attributes:
        expires: on the clock of `time.monotonic`, in seconds.
        is_active: whether the client is still connected and has not cancelled the request.
    """

    expires: float = math.inf
    is_active: Callable[[], bool] = lambda: True

    @property
    def seconds_left(self) -> float:
        """Seconds until it expires, at least 0."""
        return max(0.0, self.expires - time.monotonic())

    def check(self) -> None:
        """Refuse to start a request that nobody waits for.

        Raises:
            StatusError: DEADLINE_EXCEEDED or CANCELLED.
        """
        if self.expires < time.monotonic():
            raise StatusError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the request started"
            )
        if not self.is_active():
            raise StatusError(
                grpc.StatusCode.CANCELLED, "the request was given up before it started"
            )


def deadline_passed() -> StatusError:
    """The error of a request whose deadline passed before its answer was there."""
    return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed")


NO_DEADLINE = Deadline()
"""For requests without a deadline, such as warm-up requests."""
