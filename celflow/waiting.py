"""Wait for services that are away: what runs for days outlives a restart of theirs."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from celflow.errors import Unavailable

T = TypeVar("T")
PAUSE = 1.0  # seconds between two tries


def until_available(action: Callable[[], T]) -> T:
    """Do something, again and again until what it needs is there; a line on stderr says so, once.

    Raises:
        UserError: it fails for another reason.
    """
    told = False
    while True:
        try:
            return action()
        except Unavailable as error:
            if not told:
                print(f"waiting: {error}", file=sys.stderr, flush=True)
            told = True
        time.sleep(PAUSE)
