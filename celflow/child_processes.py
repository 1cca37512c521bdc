"""Child processes that end with the process that started them."""

import ctypes
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent() -> None:
    """As `preexec_fn` of a child: it gets SIGTERM when the thread that started it has ended.

    Also where that was killed, and could stop nobody: otherwise the child would keep its ports.
    Linux only; elsewhere it does nothing.
    """
    if _prctl is not None:
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
