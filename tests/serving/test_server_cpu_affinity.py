import os
import threading

import pytest

from serving.server.runtime import cpu_affinity


@pytest.fixture
def every_core(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """All of the machine's, whatever this process is bound to."""
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("only Linux binds threads to cores")
    every = set(range(os.cpu_count() or 1))
    monkeypatch.setattr(cpu_affinity, "_ALL_CORES", every)
    return every


def in_thread() -> set[int]:
    """Where a thread goes that is started here."""
    seen: list[set[int]] = []
    thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
    thread.start()
    thread.join()
    return seen[0]


def test_threads_share_a_core_with_those_that_start_them(every_core):
    before = os.sched_getaffinity(0)
    ours, theirs = cpu_affinity.pinned_to_one_core(lambda: (os.sched_getaffinity(0), in_thread()))
    assert ours == theirs and len(ours) == 1
    assert os.sched_getaffinity(0) == before == in_thread()


def test_a_thread_may_leave_its_core_for_a_while(every_core):
    def leave() -> list[set[int]]:
        with cpu_affinity.on_all_cores():
            away = [os.sched_getaffinity(0), in_thread()]
        return [*away, os.sched_getaffinity(0)]

    *away, back = cpu_affinity.pinned_to_one_core(leave)
    assert away == [every_core, every_core] and len(back) == 1


def test_what_it_raises_and_returns_comes_back():
    assert cpu_affinity.pinned_to_one_core(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        cpu_affinity.pinned_to_one_core(lambda: 1 / 0)


def test_elsewhere_threads_go_where_they_like(monkeypatch):
    monkeypatch.setattr(cpu_affinity, "_SUPPORTED", False)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with cpu_affinity.on_all_cores():
        assert cpu_affinity.pinned_to_one_core(lambda: 7) == 7
