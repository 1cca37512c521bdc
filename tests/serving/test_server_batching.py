"""The batch queue by itself, with functions of NumPy for signatures."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from celflow.errors import UserError
from serving.server.deadline import NO_DEADLINE, Deadline
from serving.server.runtime.batching import Batcher, Queue
from serving.server.runtime.batching_options import BatchingOptions, read
from serving.server.status import StatusError, invalid

from .model_server import until


class Doubling:
    """y = 2 x; keeps the batches that it saw, and can be held back."""

    def __init__(self, **parameters: Any) -> None:
        self.batches: list[list[float]] = []
        self.expiries: list[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self.batcher = Batcher(BatchingOptions(**{"num_batch_threads": 1, **parameters}))
        self.queue = self.batcher.queue(self.run)

    def run(self, inputs: Any, deadline: Deadline) -> dict[str, Any]:
        self.gate.wait(10)
        x = inputs["x"]
        self.batches.append(x.ravel().tolist())
        self.expiries.append(deadline.expires)
        if (x < 0).any():
            raise invalid("a value is negative")
        return {"y": 2 * x}

    def ask(self, *values: float, deadline: Deadline = NO_DEADLINE) -> list[float]:
        return self.queue({"x": np.float32(values)}, deadline)["y"].tolist()

    def hold(self) -> threading.Thread:
        """Keep the one thread busy with a first request, so that others have to wait."""
        self.gate.clear()
        thread = threading.Thread(target=self.ask, args=(0,))
        thread.start()
        until(lambda: self.queue.rows == 0 and thread.is_alive())
        time.sleep(0.02)
        return thread


def together(doubling: Doubling, calls: list[Callable[[], Any]]) -> list[Any]:
    """Results or errors of calls that wait in the queue at the same time, then run."""
    first = doubling.hold()

    def outcome(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except StatusError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        futures = []
        for call in calls:
            before = doubling.queue.rows
            futures.append(threads.submit(outcome, call))
            until(lambda before=before, f=futures[-1]: doubling.queue.rows > before or f.done())
        doubling.gate.set()
        answers = [future.result() for future in futures]
    first.join()
    return answers


def test_requests_that_wait_run_together() -> None:
    doubling = Doubling(max_batch_size=4, max_execution_batch_size=4)
    answers = together(doubling, [lambda v=v: doubling.ask(v) for v in range(1, 7)])
    assert answers == [[2], [4], [6], [8], [10], [12]]
    assert doubling.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_a_bad_item_fails_alone() -> None:
    doubling = Doubling()
    answers = together(doubling, [lambda v=v: doubling.ask(v) for v in (1, 2, -1, 4)])
    assert [a for a in answers if isinstance(a, list)] == [[2], [4], [8]]
    assert answers[2].message == "a value is negative"


def test_batches_are_filled_to_an_allowed_size() -> None:
    doubling = Doubling(allowed_batch_sizes=(1, 4))
    assert together(doubling, [lambda: doubling.ask(1), lambda: doubling.ask(2, 3)]) == [
        [2],
        [4, 6],
    ]
    assert doubling.batches == [[0], [1, 2, 3, 1]]


def test_a_request_of_another_shape_is_in_another_batch() -> None:
    doubling = Doubling()
    calls = [
        lambda: doubling.ask(1),
        lambda: doubling.queue({"x": np.float32([[7, 8]])}, NO_DEADLINE)["y"].tolist(),
        lambda: doubling.ask(2),
    ]
    assert together(doubling, calls) == [[2], [[14, 16]], [4]]
    assert doubling.batches == [[0], [1, 2], [7, 8]]


def test_a_full_queue_refuses() -> None:
    doubling = Doubling(max_batch_size=2, max_execution_batch_size=2, max_enqueued_batches=1)
    answers = together(doubling, [lambda v=v: doubling.ask(v) for v in (1, 2, 3)])
    assert answers[:2] == [[2], [4]]
    assert answers[2].code == grpc.StatusCode.UNAVAILABLE
    assert "queue" in answers[2].message
    assert doubling.ask(5) == [10]


def test_more_rows_than_a_batch_has() -> None:
    doubling = Doubling(max_batch_size=2, max_execution_batch_size=2)
    with pytest.raises(StatusError, match="Task size 3 is larger than maximum input batch size 2"):
        doubling.ask(1, 2, 3)
    splitting = Doubling(max_batch_size=5, max_execution_batch_size=2)
    assert splitting.ask(1, 2, 3, 4, 5) == [2, 4, 6, 8, 10]
    assert splitting.batches == [[1, 2], [3, 4], [5]]


def test_nobody_waits_any_more() -> None:
    doubling = Doubling()
    gone = Deadline(is_active=lambda: doubling.gate.is_set() is False)
    answers = together(
        doubling,
        [
            lambda: doubling.ask(1, deadline=Deadline(time.monotonic() + 0.05)),
            lambda: doubling.ask(2, deadline=gone),
            lambda: time.sleep(0.1) or doubling.ask(3),
        ],
    )
    assert [getattr(answer, "code", None) for answer in answers] == [
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        None,
    ]
    assert doubling.batches == [[0], [3]], "neither was begun"


def test_timeout_waits_for_company() -> None:
    doubling = Doubling(batch_timeout_micros=200_000)
    with ThreadPoolExecutor(2) as threads:
        started = time.monotonic()
        list(threads.map(doubling.ask, (1, 2)))
    assert len(doubling.batches) == 1
    assert 0.15 < time.monotonic() - started < 2
    full = Doubling(batch_timeout_micros=60_000_000, max_batch_size=1, max_execution_batch_size=1)
    assert full.ask(1) == [2], "a full batch waits for nobody"


def test_outputs_without_a_row_each_are_refused() -> None:
    queue = Batcher(BatchingOptions()).queue(lambda inputs, deadline: {"y": np.float32([1, 2, 3])})
    with pytest.raises(StatusError, match="0th dimension") as refusal:
        queue({"x": np.float32([1])}, NO_DEADLINE)
    assert refusal.value.code == grpc.StatusCode.FAILED_PRECONDITION


def test_a_bug_reaches_the_caller_and_the_threads_live_on() -> None:
    batcher = Batcher(BatchingOptions(num_batch_threads=1))
    calls = []

    def run(inputs: Any, deadline: Deadline) -> Any:
        calls.append(1)
        return inputs["no"] if len(calls) == 1 else inputs

    queue: Queue = batcher.queue(run)
    with pytest.raises(KeyError):
        queue({"x": np.float32([1])}, NO_DEADLINE)
    assert queue({"x": np.float32([1])}, NO_DEADLINE)["x"].tolist() == [1]


def test_queues_take_turns() -> None:
    """A busy model does not keep another from its turn."""
    doubling = Doubling(max_batch_size=1, max_execution_batch_size=1)
    order: list[str] = []

    def named(name: str) -> Queue:
        def run(inputs: Any, deadline: Deadline) -> Any:
            order.append(name)
            return inputs

        return doubling.batcher.queue(run)

    busy, quiet = named("busy"), named("quiet")
    blocked = doubling.batcher.queue(
        lambda inputs, deadline: inputs if doubling.gate.wait(9) else {}
    )
    one = {"x": np.float32([1])}
    first = doubling.hold()
    with ThreadPoolExecutor(5) as threads:
        threads.submit(blocked, one, NO_DEADLINE)  # by the spare thread
        until(lambda: blocked.running == 1)
        for queue in (busy, busy, busy, quiet):
            before = queue.rows
            threads.submit(queue, one, NO_DEADLINE)
            until(lambda queue=queue, before=before: queue.rows > before)
        doubling.gate.set()
    first.join()
    assert order.index("quiet") <= 1


def test_parameters_file(tmp_path: Path) -> None:
    path = tmp_path / "batching.txt"
    path.write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 5 } "
        "max_enqueued_batches { value: 3 } num_batch_threads { value: 2 } "
        "thread_pool_name { value: 'pool' } allowed_batch_sizes: [2, 8]"
    )
    assert read(str(path)) == BatchingOptions(8, 5, 3, 2, (2, 8), 8, "pool")
    assert read("") == BatchingOptions()
    path.write_text(
        "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 4 }"
    )
    assert read(str(path)).max_execution_batch_size == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_size: 8", "batching.txt cannot be read"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0"),
        ("num_batch_threads { value: -1 }", "num_batch_threads is -1"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros is -1"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: [2, 1, 4]", "increasing order"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: [1, 2]", "largest batch"),
        (
            "max_batch_size { value: 4 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 5 }",
            "max_execution_batch_size",
        ),
    ],
)
def test_wrong_parameters(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "batching.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as refusal:
        read(str(path))
    assert "\n" not in str(refusal.value)


def test_a_batch_ends_when_the_last_of_its_requests_gives_up() -> None:
    doubling = Doubling()
    soon, late = Deadline(time.monotonic() + 50), Deadline(time.monotonic() + 99)
    asks = [lambda: doubling.ask(1, deadline=soon), lambda: doubling.ask(2, deadline=late)]
    assert together(doubling, asks) == [[2], [4]]
    doubling.ask(3)
    assert doubling.expiries[1:] == [late.expires, NO_DEADLINE.expires]


def test_a_slow_queue_delays_no_other() -> None:
    """All threads are busy with one signature: another still gets an answer at once."""
    slow = Doubling(num_batch_threads=2, max_execution_batch_size=1)
    quick = slow.batcher.queue(lambda inputs, deadline: {"y": inputs["x"]})
    slow.gate.clear()
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(slow.ask, 1) for _ in range(8)]
        until(lambda: slow.queue.running == 2)
        for value in range(20):
            deadline = Deadline(time.monotonic() + 2)
            assert quick({"x": np.float32([value])}, deadline)["y"].tolist() == [value]
        assert slow.queue.running == 2, "a spare thread is for other queues"
        slow.gate.set()
        assert [answer.result() for answer in waiting] == [[2]] * 8
