"""A TensorFlow Lite model's signatures: `model.tflite` in a version's folder."""

import queue
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import numpy as np
import tensorflow as tf

from serving.protos import meta_graph_pb2
from serving.server.deadline import Deadline, deadline_passed
from serving.server.runtime import tflite_metadata
from serving.server.runtime.signature import DEFAULT_SIGNATURE, PREDICT, Signature
from serving.server.status import StatusError, graph_error, invalid
from serving.tensors import Array

Pool: TypeAlias = "queue.LifoQueue[dict[str, Any]]"
"""The interpreters that no request uses, each as its signatures' runners."""


def load(
    file: Path, interpreters: int = 1
) -> tuple[dict[str, meta_graph_pb2.SignatureDef], dict[str, Signature]]:
    """Name to `SignatureDef`, and the signatures; a model without any has one of all its tensors.

    Args:
        file: of the model.
        interpreters: requests that run at a time, each with a copy of the model's tensors.

    Raises:
        StatusError: the file cannot be loaded.
    """
    pool: Pool = queue.LifoQueue()
    for _ in range(interpreters):
        pool.put(_signature_runners(file))
    runners = pool.queue[0]
    signatures = {
        name: _signature(name, _Runner(name, runner, pool)) for name, runner in runners.items()
    }
    return {name: signature.definition for name, signature in signatures.items()}, signatures


def _signature_runners(file: Path) -> dict[str, Any]:
    """Signature name to what runs it, of a new interpreter."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    try:
        interpreter = tf.lite.Interpreter(model_path=str(file), num_threads=threads or None)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        missing = re.search(r"unresolved custom op: (\w+)", str(error))
        if missing:
            message = f"{file} needs the op {missing[1]}, which TensorFlow's interpreter has not"
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, message) from None
        message = f"{file} is no TensorFlow Lite model: {error}"
        raise StatusError(grpc.StatusCode.INVALID_ARGUMENT, message) from None
    described = tflite_metadata.signature_defs(file)
    if described:
        return {name: _Described(interpreter, definition) for name, definition in described.items()}
    names = interpreter.get_signature_list()
    if not names:
        return {DEFAULT_SIGNATURE: _WholeModel(interpreter)}
    return {name: interpreter.get_signature_runner(name) for name in names}


class _WholeModel:
    """Stands in for `Interpreter.get_signature_runner` where a model has no signature."""

    def __init__(self, interpreter: "tf.lite.Interpreter") -> None:
        self._interpreter = interpreter

    def get_input_details(self) -> dict[str, Any]:
        return {detail["name"]: detail for detail in self._interpreter.get_input_details()}

    def get_output_details(self) -> dict[str, Any]:
        return {detail["name"]: detail for detail in self._interpreter.get_output_details()}

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        details = self.get_input_details()
        for name, array in inputs.items():
            self._interpreter.resize_tensor_input(details[name]["index"], array.shape)
        self._interpreter.allocate_tensors()
        for name, array in inputs.items():
            self._interpreter.set_tensor(details[name]["index"], array)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(detail["index"])
            for name, detail in self.get_output_details().items()
        }


class _Described(_WholeModel):
    """A model whose metadata says which tensors are the inputs and outputs of a signature."""

    def __init__(
        self, interpreter: "tf.lite.Interpreter", definition: meta_graph_pb2.SignatureDef
    ) -> None:
        super().__init__(interpreter)
        self.method_name = definition.method_name
        self._inputs = _by_alias(definition.inputs, super().get_input_details())
        self._outputs = _by_alias(definition.outputs, super().get_output_details())

    def get_input_details(self) -> dict[str, Any]:
        return self._inputs

    def get_output_details(self) -> dict[str, Any]:
        return self._outputs


def _by_alias(
    tensors: Mapping[str, meta_graph_pb2.TensorInfo], details: Mapping[str, Any]
) -> dict[str, Any]:
    """A signature's names to the tensors' details; `x` and `x:0` are the same tensor."""
    by_name = {name.removesuffix(":0"): detail for name, detail in details.items()}
    missing = [t.name for t in tensors.values() if t.name.removesuffix(":0") not in by_name]
    if missing:
        raise invalid(f"the signature names tensors that the model has not: {', '.join(missing)}")
    return {alias: by_name[t.name.removesuffix(":0")] for alias, t in tensors.items()}


class _Runner:
    """Runs one signature; the batch dimension may change from call to call."""

    def __init__(self, name: str, runner: Any, pool: Pool) -> None:
        self.inputs: Mapping[str, Any] = runner.get_input_details()
        self.outputs: Mapping[str, Any] = runner.get_output_details()
        self.method_name: str = getattr(runner, "method_name", PREDICT)
        self._name = name
        self._pool = pool

    def __call__(self, inputs: Mapping[str, Array], deadline: Deadline) -> dict[str, Array]:
        """The answer; the deadline ends the wait for an interpreter, which cannot be stopped."""
        try:
            runners = self._pool.get(timeout=min(deadline.seconds_left, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise deadline_passed() from None
        try:
            answers: dict[str, Array] = runners[self._name](**inputs)
        except (ValueError, RuntimeError) as error:
            raise invalid(graph_error(str(error))) from None
        finally:
            self._pool.put(runners)
        return answers


def _signature(name: str, runner: _Runner) -> Signature:
    definition = meta_graph_pb2.SignatureDef(method_name=runner.method_name)
    for tensors, details in (
        (definition.inputs, runner.inputs),
        (definition.outputs, runner.outputs),
    ):
        for alias, detail in details.items():
            tensors[alias].name = detail["name"]
            dtype = tf.string if detail["dtype"] in (np.bytes_, np.object_) else detail["dtype"]
            tensors[alias].dtype = tf.as_dtype(dtype).as_datatype_enum
            shape = detail["shape_signature"] if "shape_signature" in detail else detail["shape"]
            for number, size in enumerate(shape):
                # Converters fix the batch to 1, TensorFlow Serving resizes it all the same.
                free = number == 0 and size == 1
                tensors[alias].tensor_shape.dim.add().size = -1 if free else int(size)
    return Signature(name, definition, runner)
