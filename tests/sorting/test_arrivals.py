"""Watching a folder ends by Ctrl-C."""

import signal
from contextlib import suppress

from sorting.arrivals import arrivals, until_ctrl_c


def test_ctrl_c_ends_it_though_its_exception_was_lost(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with until_ctrl_c() as pressed:
        with suppress(KeyboardInterrupt):  # as a library's callback would
            signal.raise_signal(signal.SIGINT)
        assert list(arrivals(tmp_path, tmp_path / "out", pressed)) == []
    assert signal.getsignal(signal.SIGINT) is before
