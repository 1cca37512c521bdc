"""Runs the network inside a SavedModel by OpenVINO; decoding and labels stay TensorFlow's.

The network is the outermost function of the graph that multiplies matrices or convolves, takes one
tensor of numbers (else only variables), and answers numbers. In the graph that serves, its body is
one operation, which calls OpenVINO. Needs the package `openvino`: `pip install 'celflow[fast]'`.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_from_session_graph,
)
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from serving.server.runtime.signature import DEFAULT_SIGNATURE
from serving.tensors import Array

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
MULTIPLIES = {"Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2"}
NO_NUMBERS = {tf.string, tf.resource, tf.variant}


def installed() -> bool:
    """Whether the package is there."""
    return find_spec("openvino") is not None


def load(session: Any, tags: Sequence[str], folder: Path, bfloat16: bool) -> None:
    """Load a SavedModel into `session`, and into its graph, with the network run by OpenVINO.

    bfloat16: multiply in bfloat16, where the processor can; otherwise in float32.

    Raises:
        ValueError: the SavedModel has no such network.
        RuntimeError: OpenVINO does not know it.
    """
    function, frozen = _network(folder, tags)
    run = _Network(frozen, bfloat16)
    loader = SavedModelLoader(str(folder))
    library = loader.get_meta_graph_def_from_tags(tags).graph_def.library  # the loader's own
    for one in library.function:
        if one.signature.name == function:
            _replace_body(one, run)
    loader.load(session, tags)


class _Network:
    """A network in OpenVINO, for calls from many threads: one array to a list of arrays."""

    def __init__(self, frozen: Any, bfloat16: bool) -> None:
        import openvino

        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "network.pb"
            file.write_bytes(frozen.SerializeToString())
            # Not by its `convert_model`, which reports its use to the makers.
            model = openvino.Core().read_model(file)
        cores = os.cpu_count() or 1
        each = tf.config.threading.get_intra_op_parallelism_threads() or cores
        self._compiled = openvino.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
                "INFERENCE_NUM_THREADS": cores,
                "NUM_STREAMS": max(1, cores // each),
            },
        )
        self._shape = model.inputs[0].partial_shape
        self._idle: LifoQueue[Any] = LifoQueue()

    def __call__(self, batch: Array) -> list[Array]:
        if not self._shape.compatible(type(self._shape)(list(batch.shape))):
            raise ValueError(f"an input of shape {batch.shape} where {self._shape} is expected")
        if not batch.size:  # refused by OpenVINO's layers
            return [
                np.zeros(
                    [dimension.get_min_length() for dimension in output.partial_shape],
                    output.element_type.to_dtype(),
                )
                for output in self._compiled.outputs
            ]
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        try:
            results = request.infer([batch], share_inputs=True)
            return [np.array(results[output]) for output in self._compiled.outputs]
        finally:
            self._idle.put(request)


def _network(folder: Path, tags: Sequence[str]) -> tuple[str, Any]:
    """The name of the network's function, and its graph with the variables as constants."""
    graph = tf.Graph()
    with tf.compat.v1.Session(graph=graph) as session, graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, tags, str(folder))
        functions = {f.signature.name: f for f in meta_graph.graph_def.library.function}
        info = next(iter(meta_graph.signature_def[DEFAULT_SIGNATURE].outputs.values()))
        call = graph.get_tensor_by_name(info.name).op
        found = None
        if call.type in CALLS:
            outermost = functions[call.get_attr("f").name]
            names = (argument.name for argument in outermost.signature.input_arg)
            known = {
                name: tensor
                for name, tensor in zip(names, call.inputs, strict=True)
                if tensor.op.type != "Placeholder"
            }
            found = _find(functions, outermost, known)
        if found is None:
            raise ValueError("no function of the graph is a network of numbers only")
        network, variables = found
        arguments = [
            variables[argument.name] if argument.name in variables else _placeholder(network, place)
            for place, argument in enumerate(network.signature.input_arg)
        ]
        results = tf.raw_ops.StatefulPartitionedCall(
            args=arguments,
            Tout=[tf.as_dtype(argument.type) for argument in network.signature.output_arg],
            f=graph._get_function(network.signature.name),
        )
        outputs = [tf.identity(result, f"network_{i}").op.name for i, result in enumerate(results)]
        frozen = convert_variables_to_constants_from_session_graph(
            session, graph.as_graph_def(), outputs
        )
        return network.signature.name, frozen


def _find(
    functions: Mapping[str, Any], function: Any, known: Mapping[str, tf.Tensor]
) -> tuple[Any, Mapping[str, tf.Tensor]] | None:
    """The network in `function`, which may be itself, and those of its arguments that are known.

    known: name of an argument to a tensor of the session's graph, such as a variable.
    """
    data = [argument for argument in function.signature.input_arg if argument.name not in known]
    kinds = {tf.as_dtype(a.type) for a in (*data, *function.signature.output_arg)}
    if len(data) == 1 and not kinds & NO_NUMBERS and _multiplies(functions, function):
        return function, known
    for node, called in _calls(functions, function):
        names = (argument.name for argument in called.signature.input_arg)
        passed = {
            name: known[source]
            for name, source in zip(names, node.input, strict=False)
            if source in known
        }
        found = _find(functions, called, passed)
        if found:
            return found
    return None


def _multiplies(functions: Mapping[str, Any], function: Any) -> bool:
    return any(node.op in MULTIPLIES for node in function.node_def) or any(
        _multiplies(functions, called) for _, called in _calls(functions, function)
    )


def _calls(functions: Mapping[str, Any], function: Any) -> Iterator[tuple[Any, Any]]:
    """The operations of `function` that call another one, and that one."""
    for node in function.node_def:
        if node.op in CALLS:
            yield node, functions[node.attr["f"].func.name]


def _placeholder(function: Any, place: int) -> tf.Tensor:
    """What stands for an argument: of its type, and its shape as far as the file says it."""
    shapes = function.arg_attr[place].attr["_output_shapes"].list.shape
    return tf.compat.v1.placeholder(
        tf.as_dtype(function.signature.input_arg[place].type),
        tf.TensorShape(shapes[0]) if shapes else None,
    )


def _replace_body(function: Any, run: Callable[[Array], list[Array]]) -> None:
    """Let `run` be what `function` does; the graph at hand keeps `run` as long as it lives."""
    place = next(
        place
        for place, argument in enumerate(function.signature.input_arg)
        if tf.as_dtype(argument.type) not in NO_NUMBERS
    )
    results = tf.numpy_function(
        run,
        [_placeholder(function, place)],
        [tf.as_dtype(argument.type) for argument in function.signature.output_arg],
    )
    node = results[0].op.node_def
    node.input[:] = [function.signature.input_arg[place].name]
    del function.node_def[:]
    function.node_def.append(node)
    function.control_ret.clear()
    for number, argument in enumerate(function.signature.output_arg):
        function.ret[argument.name] = f"{node.name}:output:{number}"
