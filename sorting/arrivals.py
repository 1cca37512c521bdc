"""Files as they arrive in a folder."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watchfiles import Change, watch

from sorting.walk import files_in

QUIET = 2.0  # seconds without a change after which a file counts as whole
_LOOK = 500  # milliseconds between two looks
_UNFINISHED = (".part", ".crdownload", ".tmp", ".download", ".partial")  # of browsers


@contextmanager
def until_ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, besides raising KeyboardInterrupt.

    An exception that is raised in some library's callback gets lost; the event does not. Where
    Ctrl-C is ignored, as in a shell's job in the background, it stays so.
    """
    pressed = threading.Event()
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield pressed
        return

    def handle(*_: Any) -> None:
        pressed.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def arrivals(folder: Path, out: Path, stop: threading.Event) -> Iterator[list[Path]]:
    """The files that are there, and from then on those that arrive or change, until `stop` is set.

    folder, out: of the pictures and the piles, absolute.
    """
    started = time.time()
    changed: dict[Path, float] = {}  # path to the time of its last event
    events = watch(folder, step=100, rust_timeout=_LOOK, yield_on_timeout=True,
                   watch_filter=None, raise_interrupt=True, stop_event=stop)  # fmt: skip
    first = True
    for batch in events:
        now = time.time()
        if first:  # only now nothing escapes
            first = False
            changed = {file: _changed(file, started) for file in files_in(folder, out)}
        for kind, name in batch:
            if kind is Change.deleted:
                changed.pop(Path(name), None)
            elif _counts(Path(name), folder, out):
                changed[Path(name)] = now
        ready = [path for path, at in changed.items() if now - at >= QUIET]
        for path in ready:
            del changed[path]
        if found := [path for path in ready if path.is_file() and not path.is_symlink()]:
            yield sorted(found)


def _changed(file: Path, otherwise: float) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return otherwise


def _counts(path: Path, folder: Path, out: Path) -> bool:
    """Whether it is for sorting: no hidden file, no half download, nothing of our own."""
    if path.is_relative_to(out) or path.suffix.lower() in _UNFINISHED:
        return False
    inside = path.relative_to(folder)
    return not any(part.startswith(".") or part == f"{out.name}.journal" for part in inside.parts)
