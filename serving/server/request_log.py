"""A share of the requests and answers of a model, in files: `logging_config` of its config.

The files are TFRecords of `PredictionLog`, TensorFlow Serving's own message: they are warm-up
requests of a version as they are, and serving/request_logs.py reads them for a replay. They are
written by one thread beside the requests. What it can't keep up with is dropped and counted.
"""

import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from serving.protos import model_server_config_pb2, prediction_log_pb2
from serving.server.metrics import REQUESTS_LOGGED, Metrics
from serving.server.status import StatusError, invalid

log = logging.getLogger(__name__)

MAX_WAITING = 256  # requests that wait to be written
MAX_FILE_BYTES = 64 << 20  # then a new file begins
COLLECTOR = "file"
"""The one type of log collector that is here; the real server has those that were linked in."""


@dataclass(frozen=True)
class _Entry:
    model: str
    config: Any
    kind: str
    request: Message
    response: Message


class RequestLogs:
    """Takes requests of all models; may be shared by threads.

    Args:
        metrics: counts what was written and what was not.
        chance: a number from 0 to 1 for each request.
    """

    def __init__(self, metrics: Metrics, chance: Callable[[], float] = random.random) -> None:
        self._metrics = metrics
        self._chance = chance
        self._configs: dict[str, Any] = {}
        self._waiting: queue.Queue[_Entry] = queue.Queue(MAX_WAITING)
        self._files: dict[str, _File] = {}
        self._started = False

    def apply(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Log what a config says from now on."""
        self._configs = {
            model.name: model.logging_config
            for model in config.model_config_list.config
            if model.logging_config.sampling_config.sampling_rate > 0
        }
        if self._configs and not self._started:
            self._started = True
            threading.Thread(target=self._write_all, name="request-logs", daemon=True).start()

    def add(self, model: str, kind: str, request: Message, response: Message) -> None:
        """Write a request of a model, or pass over it, as chance has it; returns at once.

        Args:
            model: its name.
            kind: the field of `PredictionLog`, such as "predict_log".
            request: and
            response: of the field; both are left alone from here on.
        """
        config = self._configs.get(model)
        if config is None or self._chance() >= config.sampling_config.sampling_rate:
            return
        try:
            self._waiting.put_nowait(_Entry(model, config, kind, request, response))
        except queue.Full:
            self._metrics.add(REQUESTS_LOGGED, 1, model, "RESOURCE_EXHAUSTED")

    def flush(self, seconds: float) -> None:
        """Wait until all is written, at most so long."""
        deadline = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)

    def _write_all(self) -> None:
        failing: set[str] = set()
        while True:
            entry = self._waiting.get()
            try:
                self._write(entry)
                self._metrics.add(REQUESTS_LOGGED, 1, entry.model, "OK")
                failing.discard(entry.model)
            except Exception as error:  # such as a full disk: the server goes on answering
                self._metrics.add(REQUESTS_LOGGED, 1, entry.model, "INTERNAL")
                self._files.pop(entry.model, None)  # the next record begins a file that is whole
                if entry.model not in failing:
                    log.error("Requests of %s are not logged: %s", entry.model, error)
                failing.add(entry.model)
            finally:
                self._waiting.task_done()
            del entry

    def _write(self, entry: _Entry) -> None:
        prefix = entry.config.log_collector_config.filename_prefix
        file = self._files.get(entry.model)
        if file is None or file.prefix != prefix or file.size > MAX_FILE_BYTES:
            file = self._files[entry.model] = _File(prefix, entry.model)
        record = prediction_log_pb2.PredictionLog()
        record.log_metadata.model_spec.CopyFrom(_spec(entry))
        record.log_metadata.sampling_config.CopyFrom(entry.config.sampling_config)
        record.log_metadata.timestamp_secs = int(time.time())
        getattr(record, entry.kind).request.CopyFrom(entry.request)
        getattr(record, entry.kind).response.CopyFrom(entry.response)
        file.write(record.SerializeToString(), flush=self._waiting.empty())


def _spec(entry: _Entry) -> Any:
    """The model and the version that answered."""
    if entry.kind == "multi_inference_log":  # it has one for each task
        return entry.response.results[0].model_spec  # type: ignore[attr-defined]
    return entry.response.model_spec  # type: ignore[attr-defined]


class _File:
    """One file of a model's log; it is made with the first record."""

    def __init__(self, prefix: str, model: str) -> None:
        self.prefix = prefix
        self.size = 0
        now = time.time()
        when = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        self._path = Path(f"{prefix}-{model}-{when}-{int(now * 1000) % 1000:03}-{os.getpid()}")
        self._writer: Any = None

    def write(self, record: bytes, flush: bool) -> None:
        import tensorflow as tf

        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = tf.io.TFRecordWriter(str(self._path))
        self._writer.write(record)
        self.size += len(record)
        if flush:
            self._writer.flush()


def check(model: model_server_config_pb2.ModelConfig) -> None:
    """Refuse a logging config that can't be followed.

    Raises:
        StatusError: INVALID_ARGUMENT or NOT_FOUND, naming the model.
    """
    rate = model.logging_config.sampling_config.sampling_rate
    if not 0 <= rate <= 1:
        raise invalid(f"model {model.name}: sampling_rate {rate:g} is not between 0 and 1")
    collector = model.logging_config.log_collector_config
    if rate and collector.type not in ("", COLLECTOR):
        message = f"Cannot find LogCollector::Factory for type: {collector.type}"
        raise StatusError(grpc.StatusCode.NOT_FOUND, message)
    if rate and not Path(collector.filename_prefix).is_absolute():
        raise invalid(f"model {model.name}: filename_prefix of its log is not an absolute path")
