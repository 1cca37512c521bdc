"""The options of --enable_batching: --batching_parameters_file."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celflow.errors import UserError
from serving.config_protos import BatchingParameters
from serving.server.text_proto import read_text_proto


@dataclass(frozen=True)
class BatchingOptions:
    """`BatchingParameters` with TensorFlow Serving's defaults.

    Attributes:
        max_batch_size: rows in a request, and in a batch unless large ones are split.
        batch_timeout_micros: how long a request waits for others while a thread is free.
        max_enqueued_batches: full batches that may wait in the queue of a signature.
        num_batch_threads: batches that run at a time, of all models.
        allowed_batch_sizes: a batch is filled up to the next of these by repeating its first row.
        max_execution_batch_size: rows in a batch; a larger request is split.
        thread_pool_name: in the metrics.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    max_execution_batch_size: int = 1000
    thread_pool_name: str = "batch_threads"

    def padded_size(self, size: int) -> int:
        """The allowed size to fill a batch of `size` rows up to."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


def read(path: str) -> BatchingOptions:
    """The parameters in a text protobuf; an empty path gives the defaults.

    Raises:
        UserError: it cannot be read or contradicts itself; one line with the path.
    """
    proto = BatchingParameters()
    if path:
        read_text_proto(Path(path), proto, "batching parameters")
    given: dict[str, Any] = {
        descriptor.name: value.value
        for descriptor, value in proto.ListFields()
        if descriptor.name in BatchingOptions.__dataclass_fields__ and hasattr(value, "value")
    }
    splits = proto.enable_large_batch_splitting.value
    largest = given.get("max_batch_size", BatchingOptions.max_batch_size)
    if not splits or "max_execution_batch_size" not in given:
        given["max_execution_batch_size"] = largest
    options = BatchingOptions(**given, allowed_batch_sizes=tuple(proto.allowed_batch_sizes))

    def wrong(reason: str) -> UserError:
        return UserError(f"batching parameters {path} are wrong: {reason}")

    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if getattr(options, name) < 1:
            raise wrong(f"{name} is {getattr(options, name)}, but must be at least 1")
    if options.batch_timeout_micros < 0:
        raise wrong(f"batch_timeout_micros is {options.batch_timeout_micros}, below 0")
    if not 1 <= options.max_execution_batch_size <= largest:
        raise wrong("max_execution_batch_size is not between 1 and max_batch_size")
    sizes = options.allowed_batch_sizes
    if list(sizes) != sorted({size for size in sizes if size > 0}):
        raise wrong("allowed_batch_sizes must be in increasing order")
    if sizes and sizes[-1] != options.max_execution_batch_size:
        raise wrong("the last of allowed_batch_sizes must be the largest batch's size")
    return options
