"""A SavedModel's signatures, of TensorFlow 1 and 2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from serving.protos import saved_model_pb2
from serving.server.signature import Signature
from serving.server.status import CODES, StatusError, graph_error
from serving.server.versions import SAVED_MODEL_FILES
from serving.tensors import Array


def prepare_devices() -> None:
    """Take GPU memory as it is needed, so that a training beside the server has some too."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Signature]]:
    """Name to `SignatureDef` of all that the file has, and those that can be run.

    Raises:
        StatusError: the folder cannot be loaded.
    """
    definitions = _definitions(folder)
    try:
        model = tf.saved_model.load(str(folder), tags=[tf.saved_model.SERVING])
    except tf.errors.OpError as error:
        raise _refusal(error) from None
    return definitions, {
        name: Signature(name, definitions[name], _Function(model, function))
        for name, function in model.signatures.items()
        if name in definitions
    }


class _Function:
    """Calls a signature's function; keeps the model, whose variables it uses."""

    def __init__(self, model: Any, function: Any) -> None:
        self._model = model
        self._function = function

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            results = self._function(**tensors).items()
            return {name: _array(tensor.numpy()) for name, tensor in results}
        except tf.errors.OpError as error:
            raise _refusal(error) from None


def _array(value: Any) -> Array:
    """TensorFlow gives a scalar as NumPy's or, for a string, as bytes."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _definitions(folder: Path) -> dict[str, Any]:
    """The signatures in the file, of the meta graph that is tagged for serving."""
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
        if tf.saved_model.SERVING in meta_graph.meta_info_def.tags:
            return dict(meta_graph.signature_def)
    raise StatusError(
        grpc.StatusCode.NOT_FOUND,
        "Could not find meta graph def matching supplied tags: "
        f"{{ {tf.saved_model.SERVING} }} in {folder}",
    )


def _refusal(error: Any) -> StatusError:
    code = CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
    return StatusError(code, graph_error(error.message))
