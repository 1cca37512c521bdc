"""A pool whose threads one model cannot take all."""

import threading

from serving.server.api.fair_pool import FairPool

from .model_server import until


class Held:
    """Functions that wait until they are released."""

    def __init__(self) -> None:
        self.running = 0
        self._lock = threading.Lock()
        self._released = threading.Event()

    def __call__(self) -> None:
        with self._lock:
            self.running += 1
        self._released.wait(30)
        with self._lock:
            self.running -= 1

    def release(self) -> None:
        self._released.set()


def test_one_model_cannot_take_all_threads_or_places() -> None:
    pool, held, done = FairPool(8, 24, "t"), Held(), threading.Event()
    accepted = [pool.submit("slow", held) for _ in range(30)]
    assert accepted == [True] * 22 + [False] * 8
    until(lambda: held.running == 6)
    assert pool.submit(None, held)
    assert not pool.submit(None, held)
    assert pool.submit("other", done.set)
    assert done.wait(10)
    assert held.running == 7
    held.release()
    until(lambda: held.running == 0)
    assert pool.submit("slow", done.clear)
    until(lambda: not done.is_set())


def test_all_that_wait_run() -> None:
    pool, lock = FairPool(5, 10_000, "t"), threading.Lock()
    ran: list[int] = []

    def run(number: int) -> None:
        with lock:
            ran.append(number)

    for number in range(3000):
        assert pool.submit(number % 3, lambda number=number: run(number))  # type: ignore[misc]
    until(lambda: len(ran) == 3000)
    assert sorted(ran) == list(range(3000))


def test_few_threads_are_not_divided() -> None:
    pool, held = FairPool(2, 3, "t"), Held()
    assert [pool.submit("one", held) for _ in range(4)] == [True, True, True, False]
    until(lambda: held.running == 2)
    held.release()


def test_without_a_share_for_each_of_two_models_both_go_on() -> None:
    pool = FairPool(4, 8, "t")
    held = {name: Held() for name in "ab"}
    for _ in range(3):
        for name in "ab":
            pool.submit(name, held[name])
    until(lambda: held["a"].running == held["b"].running == 2)
    for each in held.values():
        each.release()
