"""Requests that arrive at the same time run as one batch: --enable_batching.

TensorFlow has the batching library of TensorFlow Serving as an op (`tf.raw_ops.BatchFunction`). It
is not used: behind the same gRPC server, in interleaved runs, it reached 0.58 to 0.68 of the
in-process limit where the queue here reached 1.05 (xception, 32 requests in flight, two cores;
character_cnn: 0.50 to 0.57 and 0.82). One bad request fails its whole batch, and a request whose
deadline has passed stays in its queue.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import grpc
import numpy as np

from serving.server.deadline import Deadline, deadline_passed
from serving.server.metrics import BATCHES, QUEUING_LATENCY, Metrics
from serving.server.runtime.batching_options import BatchingOptions
from serving.server.status import StatusError, invalid
from serving.tensors import Array

DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED

Arrays = Mapping[str, Array]
Run = Callable[[Arrays, Deadline], dict[str, Array]]


class Batcher:
    """The threads that run the batches of all queues.

    There are twice as many as batches that may run at a time. The other half, the spare threads,
    run a batch only where all threads are busy and none of them with the same queue: so a slow
    model can delay its own requests, but not another's.
    """

    def __init__(self, options: BatchingOptions, metrics: Metrics | None = None) -> None:
        self.options = options
        self.metrics = metrics or Metrics()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._spare_wanted = threading.Condition(self._lock)
        self._waiting: deque[Queue] = deque()
        self._idle = 0
        for number in range(options.num_batch_threads):
            for spare in (False, True):
                name = f"batch-{number}{'-spare' * spare}"
                threading.Thread(target=self._work, args=[spare], name=name, daemon=True).start()

    def queue(self, run: Run, options: BatchingOptions | None = None) -> "Queue":
        """A queue for one signature; it needs no closing.

        options: its own sizes and time-outs, instead of those of all.
        """
        return Queue(self, run, options or self.options)

    def add(self, queue: "Queue", tasks: Sequence["_Task"]) -> None:
        """Put `tasks` into `queue`.

        Raises:
            StatusError: UNAVAILABLE: the queue is full.
        """
        with self._lock:
            options = queue.options
            limit = options.max_enqueued_batches * options.max_execution_batch_size
            rows = sum(task.size for task in tasks)
            if queue.rows + rows > limit:
                raise StatusError(
                    grpc.StatusCode.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full",
                )
            if not queue.tasks:
                self._waiting.append(queue)
            queue.tasks.extend(tasks)
            queue.rows += rows
            if self._idle:
                self._changed.notify()
            elif not queue.running:
                self._spare_wanted.notify()

    def _work(self, spare: bool) -> None:
        while True:
            queue, tasks = self._next(spare)
            queue.run_batch(tasks)
            with self._lock:
                queue.running -= 1
            del queue, tasks  # else an idle thread keeps an unloaded model in memory

    def _next(self, spare: bool) -> tuple["Queue", list["_Task"]]:
        changed = self._spare_wanted if spare else self._changed
        with self._lock:
            while True:
                now = time.monotonic()
                soonest = None
                for _ in range(len(self._waiting)):
                    queue = self._waiting.popleft()
                    due = queue.due(now)
                    if spare and (queue.running or self._idle):
                        due = math.inf
                    if due <= now:
                        tasks = queue.take()
                        queue.running += 1
                        if queue.tasks:
                            self._waiting.append(queue)
                        if self._waiting:
                            (self._changed if self._idle else self._spare_wanted).notify()
                        return queue, tasks
                    self._waiting.append(queue)
                    soonest = due if soonest is None else min(soonest, due)
                    del queue
                self._idle += not spare
                changed.wait(_until(soonest, now))
                self._idle -= not spare


def _until(due: float | None, now: float) -> float | None:
    """Seconds to wait; None where nothing is due at any time."""
    return None if due is None or due == math.inf else due - now


class Queue:
    """The requests that wait for one signature of one version."""

    def __init__(self, batcher: Batcher, run: Run, options: BatchingOptions) -> None:
        self.options = options
        self.tasks: deque[_Task] = deque()
        self.rows = 0
        self.running = 0
        self._batcher = batcher
        self._metrics = batcher.metrics
        self._run = run

    def __call__(self, inputs: Arrays, deadline: Deadline) -> dict[str, Array]:
        """The outputs for `inputs`, arrays of an equal first dimension of at least 1.

        Raises:
            StatusError: what the signature raises for these inputs, INVALID_ARGUMENT for too many
                rows, UNAVAILABLE where the queue is full, or DEADLINE_EXCEEDED.
        """
        rows = len(next(iter(inputs.values())))
        if rows > self.options.max_batch_size:
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size "
                f"{self.options.max_batch_size}"
            )
        step = self.options.max_execution_batch_size
        tasks = [
            _Task({name: array[start : start + step] for name, array in inputs.items()}, deadline)
            for start in range(0, rows, step)
        ]
        self._batcher.add(self, tasks)
        answers = [task.wait() for task in tasks]
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([part[name] for part in answers]) for name in answers[0]}

    def due(self, now: float) -> float:
        """When the first of the tasks may run, in seconds of `time.monotonic()`."""
        if self.rows >= self.options.max_execution_batch_size:
            return now
        return self.tasks[0].arrived + self.options.batch_timeout_micros / 1e6

    def take(self) -> list["_Task"]:
        """Remove the next batch: tasks with rows of one shape, in the order of arrival."""
        taken: list[_Task] = []
        left: deque[_Task] = deque()
        space = self.options.max_execution_batch_size
        for task in self.tasks:
            if task.size <= space and (not taken or task.shapes == taken[0].shapes):
                taken.append(task)
                space -= task.size
                self.rows -= task.size
            else:
                left.append(task)
        self.tasks = left
        return taken

    def run_batch(self, tasks: Sequence["_Task"]) -> None:
        """Answer every task; those whose deadline has passed are not run."""
        active = []
        now = time.monotonic()
        for task in tasks:
            waited = 1e6 * (now - task.arrived)
            self._metrics.add(QUEUING_LATENCY, waited, self._batcher.options.thread_pool_name)
            try:
                task.deadline.check()
                active.append(task)
            except StatusError as error:
                task.fail(error)
        if active:
            self._run_batch(active)

    def _run_batch(self, tasks: Sequence["_Task"]) -> None:
        try:
            outputs = self._outputs(tasks)
        except Exception as error:
            expired = isinstance(error, StatusError) and error.code == DEADLINE_EXCEEDED
            if len(tasks) == 1 or expired or not isinstance(error, StatusError):
                for task in tasks:
                    task.fail(error)
                return
            # One of them is bad: the others must not fail with it.
            middle = len(tasks) // 2
            self._run_batch(tasks[:middle])
            self._run_batch(tasks[middle:])
            return
        start = 0
        for task in tasks:
            end = start + task.size
            task.answer({name: array[start:end] for name, array in outputs.items()})
            start = end

    def _outputs(self, tasks: Sequence["_Task"]) -> dict[str, Array]:
        rows = sum(task.size for task in tasks)
        padded = self.options.padded_size(rows)
        batch = dict(tasks[0].inputs)
        if len(tasks) > 1 or padded > rows:
            for name, first in batch.items():
                filler = [first[:1]] * (padded - rows)
                batch[name] = np.concatenate([*(task.inputs[name] for task in tasks), *filler])
        # Until the last of them gives up.
        self._metrics.add(BATCHES, 1)
        expires = max(task.deadline.expires for task in tasks)
        outputs = self._run(batch, Deadline(expires))
        if any(array.ndim == 0 or len(array) != padded for array in outputs.values()):
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
                "sizes of the input tensors",
            )
        return outputs


class _Task:
    """Rows of one request, and the lock that its thread waits for."""

    def __init__(self, inputs: Arrays, deadline: Deadline) -> None:
        self.inputs = inputs
        self.deadline = deadline
        self.arrived = time.monotonic()
        self.size = len(next(iter(inputs.values())))
        self.shapes = {name: array.shape[1:] for name, array in inputs.items()}
        self._done = threading.Lock()
        self._done.acquire()
        self._outputs: dict[str, Array] = {}
        self._error: Exception | None = None

    def answer(self, outputs: dict[str, Array]) -> None:
        self._outputs = outputs
        self._done.release()

    def fail(self, error: Exception) -> None:
        self._error = error
        self._done.release()

    def wait(self) -> dict[str, Array]:
        seconds = min(self.deadline.seconds_left, threading.TIMEOUT_MAX)
        if not self._done.acquire(timeout=seconds):
            raise deadline_passed()
        if self._error is not None:
            raise self._error
        return self._outputs
