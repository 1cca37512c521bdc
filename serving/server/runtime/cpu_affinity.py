"""CPU affinity: the threads that answer requests are pinned to one core.

Only one of these threads runs at a time: the one that holds Python's global interpreter lock, and
each request passes the lock on several times. Pinned to one core, a request of a model that does
nothing takes 0.24 to 0.30 ms of processor time, spread over two 0.54 to 0.62 (docs/serving.md has
the measurements). TensorFlow's own threads, which do the work, keep all cores.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

_SUPPORTED = hasattr(os, "sched_setaffinity")  # Linux
_ALL_CORES: set[int] = os.sched_getaffinity(0) if _SUPPORTED else set()


def pinned_to_one_core(start: Callable[[], Result]) -> Result:
    """Call `start`; the threads that it starts, and those that they start, share one core."""

    def pin() -> None:
        if _SUPPORTED:
            cores = sorted(_ALL_CORES)
            # By the process number, so that several servers are likely to take different cores.
            os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})

    with ThreadPoolExecutor(1, initializer=pin) as thread:
        return thread.submit(start).result()


@contextmanager
def on_all_cores() -> Iterator[None]:
    """Unpin this thread, and with it the threads that are started meanwhile."""
    if not _SUPPORTED:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _ALL_CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
