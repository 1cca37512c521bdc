"""A SavedModel's signatures, of TensorFlow 1 and 2."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.config_pb2 import RunOptions
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.client import pywrap_tf_session as tf_session

from serving.protos import meta_graph_pb2, saved_model_pb2
from serving.server.deadline import Deadline, deadline_passed
from serving.server.runtime import openvino_network
from serving.server.runtime.model_files import SAVED_MODEL_FILES
from serving.server.runtime.signature import Signature
from serving.server.status import CODES, StatusError, graph_error
from serving.tensors import Array

TENSORFLOW_ERRORS = (tf.errors.OpError, UnicodeDecodeError)
"""What TensorFlow raises; the latter where its message repeats bytes that are not UTF-8."""

SMALL_GRAPH = 100
"""Operations of a graph that runs faster in one thread than spread over several."""

LOOPS = {"While", "StatelessWhile", "NextIteration", "For", "MapDefun", "ReduceDataset"}
"""Operations that run others any number of times."""

MAX_TIMEOUT_MS = 2**31 - 1


@dataclass(frozen=True)
class SavedModelOptions:
    """Which graph of a SavedModel to load, and how to run it.

    Attributes:
        tags: of the `MetaGraphDef`, all of them.
        session_config: `ConfigProto` of sessions; None for the number of threads as
            `prepare_devices` set it, and memory of GPUs that grows.
        bfloat16: multiply in bfloat16, where the processor can.
        openvino: let OpenVINO run the network inside; otherwise all is TensorFlow's.
    """

    tags: tuple[str, ...] = (tf.saved_model.SERVING,)
    session_config: Any = None
    bfloat16: bool = False
    openvino: bool = False


def prepare_devices(intra_op_threads: int, inter_op_threads: int) -> None:
    """Set the numbers of threads, and let GPU memory grow as needed: others use the GPU, too.

    Args:
        intra_op_threads: that work on one operation; 0 is TensorFlow's choice.
        inter_op_threads: operations that run at a time; likewise.
    """
    tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)
    tf.config.threading.set_inter_op_parallelism_threads(inter_op_threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def load(
    folder: Path, options: SavedModelOptions
) -> tuple[dict[str, meta_graph_pb2.SignatureDef], dict[str, Signature]]:
    """Name to `SignatureDef` of all that the file has, and those that can be run.

    Raises:
        StatusError: the folder cannot be loaded.
    """
    meta_graph = _meta_graph(folder, options.tags)
    definitions = dict(meta_graph.signature_def)
    try:
        session = _session(folder, options)
    except TENSORFLOW_ERRORS as error:
        raise _status_error(error) from None
    small = not options.openvino and _is_small(meta_graph.graph_def)
    return definitions, {
        name: Signature(name, definition, _SignatureCall(session, definition, small))
        for name, definition in definitions.items()
        if not name.startswith("__saved_model_")  # what TensorFlow runs itself
    }


class _SignatureCall:
    """Runs the operations of the graph that a signature's outputs need."""

    def __init__(
        self, session: tf.compat.v1.Session, definition: meta_graph_pb2.SignatureDef, small: bool
    ) -> None:
        self._session = session
        self._inputs = {name: info.name for name, info in definition.inputs.items()}
        self._outputs = {name: info.name for name, info in definition.outputs.items()}
        self._small = small

    def __call__(self, inputs: Mapping[str, Array], deadline: Deadline) -> dict[str, Array]:
        feeds, fetches = self._tensors
        try:
            with self._options(deadline) as options:
                values = tf_session.TF_SessionRun_wrapper(
                    self._session._session,
                    options,
                    {feeds[name]: inputs[name] for name in feeds},
                    fetches,
                    [],
                    None,
                )
        except tf.errors.DeadlineExceededError:
            raise deadline_passed() from None
        except TENSORFLOW_ERRORS as error:
            raise _status_error(error) from None
        return {name: _array(value) for name, value in zip(self._outputs, values, strict=True)}

    @contextmanager
    def _options(self, deadline: Deadline) -> Iterator[Any]:
        """`RunOptions` as TensorFlow's C API takes them."""
        options = RunOptions()
        if self._small:  # in this thread: passing it on would cost more than the work
            options.inter_op_thread_pool = -1
        if deadline.expires < math.inf:
            # 0 would be no time-out. A graph in this thread is not stopped: but see _is_small.
            options.timeout_in_ms = min(max(1, int(1000 * deadline.seconds_left)), MAX_TIMEOUT_MS)
        buffer = tf_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            yield buffer
        finally:
            tf_session.TF_DeleteBuffer(buffer)

    @cached_property
    def _tensors(self) -> tuple[dict[str, Any], list[Any]]:
        """Input name to tensor, and the outputs, as TensorFlow's C API takes them.

        What `Session.run` finds out in each call is done once: x / 2 + 1 takes 0.009 ms instead of
        0.18, a graph on TensorFlow's threads 0.05. (A session callable, which takes 0.006 and 0.03,
        refuses a time-out, and would be a second copy of the optimized graph.)
        """

        def tensor(name: str) -> Any:
            return self._session.graph.get_tensor_by_name(name)._as_tf_output()

        feeds = {name: tensor(key) for name, key in self._inputs.items()}
        return feeds, [tensor(key) for key in self._outputs.values()]


def _is_small(graph: Any) -> bool:
    """Whether a graph is better run in one thread: a few operations, each of them once.

    TensorFlow can stop a graph between two operations, but none that runs in the calling thread. So
    one with a loop, which may go on for any time, is left to TensorFlow's threads.
    """
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    return len(nodes) <= SMALL_GRAPH and not any(node.op in LOOPS for node in nodes)


def _session(folder: Path, options: SavedModelOptions) -> tf.compat.v1.Session:
    """A session with the model in it; it is closed when nothing refers to it any more."""
    config = tf.compat.v1.ConfigProto()
    config.CopyFrom(options.session_config or _default_config())
    if options.bfloat16 and not options.openvino:
        rewriting = config.graph_options.rewrite_options
        rewriting.auto_mixed_precision_onednn_bfloat16 = RewriterConfig.ON
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=config)
    with graph.as_default():
        if options.openvino:
            openvino_network.load(session, options.tags, folder, options.bfloat16)
        else:
            tf.compat.v1.saved_model.load(session, options.tags, str(folder))
    graph.finalize()
    return session


def _default_config() -> Any:
    return tf.compat.v1.ConfigProto(
        gpu_options=tf.compat.v1.GPUOptions(allow_growth=True),
        intra_op_parallelism_threads=tf.config.threading.get_intra_op_parallelism_threads(),
        inter_op_parallelism_threads=tf.config.threading.get_inter_op_parallelism_threads(),
    )


def _array(value: Any) -> Array:
    """TensorFlow gives a scalar as NumPy's or, for a string, as bytes."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _meta_graph(folder: Path, tags: tuple[str, ...]) -> meta_graph_pb2.MetaGraphDef:
    """The `MetaGraphDef` in the file that has exactly these tags."""
    saved_model = saved_model_pb2.SavedModel()
    binary, text = (folder / name for name in SAVED_MODEL_FILES)
    if binary.is_file():
        try:
            saved_model.ParseFromString(binary.read_bytes())
        except DecodeError:
            message = f"Can't parse {binary} as binary proto"
            raise StatusError(grpc.StatusCode.DATA_LOSS, message) from None
    else:
        text_format.Parse(text.read_text(encoding="utf-8"), saved_model)
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tags):
            return meta_graph
    raise StatusError(
        grpc.StatusCode.NOT_FOUND,
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }} in {folder}",
    )


def _status_error(error: tf.errors.OpError | UnicodeDecodeError) -> StatusError:
    if isinstance(error, UnicodeDecodeError):
        # Its code is lost; only a complaint about an input repeats the input.
        message = error.object.decode(errors="backslashreplace")
        return StatusError(grpc.StatusCode.INVALID_ARGUMENT, graph_error(message))
    code = CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
    return StatusError(code, graph_error(error.message))
