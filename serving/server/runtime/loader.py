"""Loads and warms up the model in a version's folder. Imports TensorFlow."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError, Message

from celflow.errors import UserError
from serving.protos import prediction_log_pb2
from serving.server.byte_budget import NO_BUDGET
from serving.server.deadline import NO_DEADLINE, Deadline
from serving.server.metrics import LOAD_LATENCY, LOADS, WARMUP_LATENCY, Metrics
from serving.server.runtime import batching_options, fast, saved_model, tflite_model
from serving.server.runtime.batching import Batcher
from serving.server.runtime.model_files import (
    BATCHING_FILE,
    SAVED_MODEL_FILES,
    TFLITE_FILE,
    WARMUP_FILE,
)
from serving.server.runtime.saved_model import SavedModelOptions
from serving.server.runtime.servable import PredictOptions, Servable
from serving.server.status import StatusError, invalid

log = logging.getLogger(__name__)

MAX_WARMUP_RECORDS = 1000


@dataclass(frozen=True)
class Loader:
    """Loads and warms up versions.

    Attributes:
        batcher: runs the requests of one signature together; None runs each alone.
        warm_up: how often to replay each of the warm-up requests in a version's folder.
        prefer_tflite: load `model.tflite` where a folder has a SavedModel too.
        saved_model: which graph of a SavedModel to load, and how to run it.
        predict: how to answer.
        tflite_interpreters: requests of a TensorFlow Lite model that run at a time.
        metrics: of the loads.
        fast, fast_examples: see `fast.choose`.
        own_batching: whether a version batches by the file in its folder, and not without one.
    """

    batcher: Batcher | None = None
    warm_up: int = 1
    prefer_tflite: bool = False
    saved_model: SavedModelOptions = field(default_factory=SavedModelOptions)
    predict: PredictOptions = field(default_factory=PredictOptions)
    tflite_interpreters: int = 1
    metrics: Metrics = field(default_factory=Metrics)
    own_batching: bool = False
    fast: bool = False
    fast_examples: str = ""

    def __call__(self, name: str, version: int, folder: Path) -> Servable:
        """The servable in `folder`.

        Raises:
            StatusError: the folder cannot be loaded, or a warm-up request of its own fails.
        """
        try:
            started = time.monotonic()
            servable = self._load(name, version, folder)
        except Exception:
            self.metrics.add(LOADS, 1, str(folder), "fail")
            raise
        self.metrics.add(LOADS, 1, str(folder), "success")
        self.metrics.add(LOAD_LATENCY, 1e6 * (time.monotonic() - started), str(folder))
        if self.warm_up > 0 and (folder / WARMUP_FILE).is_file():
            code = grpc.StatusCode.OK
            started = time.monotonic()
            try:
                self._warm_up(servable, folder / WARMUP_FILE)
            except StatusError as error:
                code = error.code
                raise
            finally:
                took = 1e6 * (time.monotonic() - started)
                self.metrics.add(WARMUP_LATENCY, took, str(folder), code.name)
        return servable

    def _load(self, name: str, version: int, folder: Path) -> Servable:
        lite = folder / TFLITE_FILE
        saved = any((folder / file).is_file() for file in SAVED_MODEL_FILES)
        if lite.is_file() and (self.prefer_tflite or not saved):
            definitions, signatures = tflite_model.load(lite, self.tflite_interpreters)
        else:
            options = self.saved_model
            if self.fast:
                options = fast.choose(name, version, folder, options, self.fast_examples)
            definitions, signatures = saved_model.load(folder, options)
        queue = None
        if self.batcher and not self.own_batching:
            queue = self.batcher.queue
        elif self.batcher and (folder / BATCHING_FILE).is_file():
            try:
                own = batching_options.read(str(folder / BATCHING_FILE))
            except UserError as error:
                raise invalid(str(error)) from None
            queue = partial(self.batcher.queue, options=own)
        return Servable(name, version, definitions, signatures, queue, self.predict)

    def _warm_up(self, servable: Servable, path: Path) -> None:
        """Replay the requests in `path`, so that no client has to wait for a slow first run."""
        kinds: Mapping[str, Callable[[Any, Deadline], Message]] = {
            "predict_log": partial(servable.predict, hold=NO_BUDGET.hold()),
            "classify_log": servable.classify,
            "regress_log": servable.regress,
            "multi_inference_log": servable.multi_inference,
        }
        count = 0
        try:
            for record in tf.data.TFRecordDataset(str(path)):
                if count == MAX_WARMUP_RECORDS:
                    raise invalid(
                        "Number of warmup records exceeds the maximum "
                        f"({MAX_WARMUP_RECORDS}) at {path}"
                    )
                entry = prediction_log_pb2.PredictionLog.FromString(record.numpy())
                kind = entry.WhichOneof("log_type")
                if kind not in kinds:
                    raise invalid(f"Unsupported log_type for warmup: {kind}")
                for _ in range(self.warm_up):
                    kinds[kind](getattr(entry, kind).request, NO_DEADLINE)
                count += 1
        except StatusError as error:
            raise StatusError(error.code, f"warm-up request {count}: {error.message}") from None
        except (DecodeError, tf.errors.DataLossError):
            message = f"warm-up request {count} cannot be read: is {path} a TFRecord file?"
            raise invalid(message) from None
        what = "Warmed up {name: %s version: %d}: %d requests"
        log.info(what, servable.name, servable.version, count * self.warm_up)
