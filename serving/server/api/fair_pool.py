"""Threads for the requests of all models, of which those of one model cannot take all."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable

RESERVE = 16
"""Of so many threads and places, one is kept back from each model."""

_FEW = 4  # are not divided


class FairPool:
    """Runs functions on threads that are started as they are needed.

    Args:
        threads: functions that run at a time.
        places: functions that run or wait.
        name: of the threads.
    """

    def __init__(self, threads: int, places: int, name: str) -> None:
        self._threads = threads
        self._places = places
        self._name = name
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Hashable, Callable[[], object]]] = deque()
        self._running: Counter[Hashable] = Counter()
        self._calls: Counter[Hashable] = Counter()  # running or waiting
        self._started = 0
        self._idle = 0

    def submit(self, model: Hashable, function: Callable[[], object]) -> bool:
        """Run `function`, which must not raise, or answer False where there is no place for it.

        Args:
            model: whose request it is; those of which it is not known, None, share the places that
                each model leaves.
            function: to run.
        """
        with self._changed:
            places = self._share(self._places, model)
            if self._calls.total() >= self._places or self._calls[model] >= places:
                return False
            self._calls[model] += 1
            self._waiting.append((model, function))
            self._changed.notify()
            if len(self._waiting) > self._idle and self._started < self._threads:
                self._started += 1
                name = f"{self._name}-{self._started}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        return True

    def _work(self) -> None:
        while True:
            model, function = self._next()
            try:
                function()
            finally:
                del function
                with self._changed:
                    _count_down(self._running, model)
                    _count_down(self._calls, model)

    def _next(self) -> tuple[Hashable, Callable[[], object]]:
        """The first that waits and may run."""
        with self._changed:
            while True:
                for position, (model, function) in enumerate(self._waiting):
                    if self._running[model] < self._share(self._threads, model):
                        del self._waiting[position]
                        self._running[model] += 1
                        return model, function
                self._idle += 1
                self._changed.wait()
                self._idle -= 1

    def _share(self, total: int, model: Hashable) -> int:
        """How many of all one model may have, so that there is at least one left for others."""
        if self._threads < _FEW:
            return total
        reserve = max(1, total // RESERVE)
        return reserve if model is None else total - 2 * reserve


def _count_down(counter: "Counter[Hashable]", key: Hashable) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
