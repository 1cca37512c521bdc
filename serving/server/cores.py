"""Threads that take turns do so faster on one core.

Of the threads that answer requests only one runs at a time: the one that has Python's lock, and
each request passes it on several times. On one core a request of a model that does nothing takes
0.24 to 0.30 ms of processor time, on two 0.54 to 0.62 (docs/serving.md has the rest). TensorFlow's
own threads, which have the work to do, keep all cores.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

_BINDS = hasattr(os, "sched_setaffinity")  # Linux
_ALL: set[int] = os.sched_getaffinity(0) if _BINDS else set()


def on_one_core(start: Callable[[], Result]) -> Result:
    """Call `start` where all threads that it starts, and those that they start, share a core."""

    def stay() -> None:
        if _BINDS:
            cores = sorted(_ALL)
            os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})  # not all of them the same

    with ThreadPoolExecutor(1, initializer=stay) as thread:
        return thread.submit(start).result()


@contextmanager
def on_all_cores() -> Iterator[None]:
    """Let this thread go anywhere, and with it those that are started meanwhile."""
    if not _BINDS:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _ALL)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
