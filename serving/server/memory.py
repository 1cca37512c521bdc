"""Memory that is free is given back to the system.

glibc keeps what is freed between blocks that are still in use: a server that had answered eight
threads with pictures of 35 megapixels kept 300 MB, after some version changes as much again.
"""

import ctypes
import gc
import threading
import time

PAUSE_SECONDS = 5.0
"""Least time from one time to the next: other threads' allocations wait meanwhile."""

_wanted = threading.Event()


def give_back_soon() -> None:
    """Called where much has been freed."""
    _wanted.set()


def start() -> None:
    """Start the thread that does it; where there is no glibc, do nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        threading.Thread(target=_trim_for_good, args=[trim], name="memory", daemon=True).start()


def _trim_for_good(trim: "ctypes._CFunctionType") -> None:
    while True:
        _wanted.wait()
        _wanted.clear()
        time.sleep(0.1)  # what the request that asked for it refers to is freed then, too,
        trim(0)
        time.sleep(PAUSE_SECONDS)
        gc.collect()  # an error and the frames that it names hold each other
        trim(0)  # and now on a machine that was busy
