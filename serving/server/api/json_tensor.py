"""Tensors in JSON as in TensorFlow Serving's REST API: by row or by column, bytes as base64."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from serving.protos import meta_graph_pb2
from serving.server.api import json_output
from serving.server.status import StatusError, invalid
from serving.tensors import Array, dtype_name


def inputs(
    query: Mapping[str, Any], infos: Mapping[str, meta_graph_pb2.TensorInfo]
) -> tuple[dict[str, Array], bool]:
    """The arrays in the body of a predict request, and whether they came by row.

    Args:
        query: has "instances" (a list with a value, or an object of named values, for each example)
            or "inputs" (an object of named batches, or the batch of the only input).
        infos: input name to `TensorInfo`.

    Raises:
        StatusError: INVALID_ARGUMENT, naming the input.
    """
    if "instances" in query and "inputs" in query:
        raise invalid(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        )
    if "instances" not in query and "inputs" not in query:
        raise invalid("Missing 'inputs' or 'instances' key")
    if "inputs" in query:
        named = query["inputs"]
        if not isinstance(named, dict) or is_b64(named):
            named = {_only(infos): named}
        # As in the real server, an unknown input is ignored in this format, but not in a row.
        known = {name: value for name, value in named.items() if name in infos}
        return {name: _array(name, value, infos) for name, value in known.items()}, False
    rows = query["instances"]
    if not isinstance(rows, (list, np.ndarray)) or not len(rows):
        raise invalid("Expecting 'instances' value to be a list with at least one example")
    named = _columns(list(rows)) if isinstance(rows[0], dict) and not is_b64(rows[0]) else None
    if named is None:
        for position, row in enumerate(rows if isinstance(rows, list) else ()):
            if isinstance(row, dict) and not is_b64(row):
                raise invalid(
                    f"Expecting value/list but got object at item {position} of input list"
                )
        named = {_only(infos): rows}
    return {name: _array(name, value, infos) for name, value in named.items()}, True


def _columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """The values of each name, of rows that are objects."""
    for position, row in enumerate(rows):
        if not isinstance(row, dict) or is_b64(row):
            raise invalid(f"Expecting object but got list at item {position} of input list")
        if row.keys() != rows[0].keys():
            raise invalid("Expecting all 'instances' to have the same keys")
    return {name: [row[name] for row in rows] for name in rows[0]}


def rows(outputs: Mapping[str, Array]) -> dict[str, Any]:
    """{"predictions": [...]}: a value for each example, or an object where there are several
    outputs.

    Raises:
        StatusError: INVALID_ARGUMENT where the outputs have no common batch dimension.
    """
    sizes = {array.shape[0] if array.ndim else None for array in outputs.values()}
    if len(sizes) != 1 or None in sizes:
        raise invalid(
            "the outputs have an inconsistent batch size: ask with 'inputs', not 'instances'"
        )
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return {"predictions": _value(name, array)}
    size = len(next(iter(outputs.values())))
    return {
        "predictions": [
            {name: _value(name, array[row, ...]) for name, array in outputs.items()}
            for row in range(size)
        ]
    }


def columns(outputs: Mapping[str, Array]) -> dict[str, Any]:
    """{"outputs": ...}: the only output, or an object of all."""
    values = {name: _value(name, array) for name, array in outputs.items()}
    return {"outputs": next(iter(values.values())) if len(values) == 1 else values}


def _only(infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> str:
    if len(infos) != 1:
        raise invalid(f"the inputs must be named: they are {', '.join(sorted(infos))}")
    return next(iter(infos))


def _array(name: str, value: Any, infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> Array:
    if name not in infos:
        raise invalid(f"JSON object: does not have named input: {name}")
    kind = dtype_name(infos[name].dtype)
    try:
        if kind == "string":
            return _strings(value)
        return _converted(_numbers(value), np.dtype(kind))
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise invalid(f"input {name!r} is not a tensor of {kind}: {error}") from None


def _numbers(value: Any) -> Array:
    """Nested lists of numbers as an array: int64, float64 or, where they were few, of objects."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list) and any(isinstance(row, np.ndarray) for row in value):
        rows = [_numbers(row) for row in value]
        _check_shapes(rows)
        return np.stack(rows)
    array = np.array(value, object)
    if any(isinstance(item, list) for item in array.ravel()):
        _check_shapes([np.array(row, object) for row in value])
        raise ValueError("Expecting shape of equal lists")  # deeper than the rows
    return array


def _check_shapes(rows: list[Array]) -> None:
    """Refuse rows of different shapes, as the real server."""
    for row in rows:
        if row.size != rows[0].size:
            raise ValueError(f"Expecting tensor size: {rows[0].size} but got: {row.size}")
        if row.shape != rows[0].shape:
            raise ValueError(f"Expecting shape {list(rows[0].shape)} but got: {list(row.shape)}")


def _converted(array: Array, dtype: np.dtype[Any]) -> Array:
    """Numbers in the type of the input; floats that are too large for it are infinite."""
    is_float = dtype.kind == "f" or dtype.name == "bfloat16"
    types = set(map(type, array.ravel())) if array.dtype == object else {array.dtype.type}
    allowed: set[type] = {bool} if dtype.kind == "b" else {int, np.int64}
    if is_float:
        allowed |= {float, np.float64}
    if not types <= allowed:
        raise ValueError(f"a value is not of expected type: {dtype}")
    if is_float:
        with np.errstate(over="ignore"):
            return array.astype(np.float64).astype(dtype)
    if array.dtype == np.int64 and array.size:
        limits = np.iinfo(dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise ValueError(f"a value is not of expected type: {dtype}")
    return array.astype(dtype)


def _strings(value: Any) -> Array:
    """Nested lists of str or {"b64": ...} as an object array of bytes."""
    if isinstance(value, list):
        items = [_strings(item) for item in value]
        _check_shapes(items)
        array = np.empty((len(items), *(items[0].shape if items else ())), object)
        for index, item in enumerate(items):
            array[index] = item[()] if item.ndim == 0 else item
        return array
    array = np.empty((), object)
    if isinstance(value, str):
        array[()] = value.encode()
    elif isinstance(value, dict) and is_b64(value) and isinstance(value["b64"], str):
        array[()] = decoded(value["b64"])
    else:
        raise ValueError('a value is not of expected type: string or {"b64": ...}')
    return array


def decoded(b64: str) -> bytes:
    """The bytes in base64; line breaks may be in it and padding may lack, as in the real server's.

    Raises:
        ValueError: it is not base64.
    """
    text = "".join(b64.split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError("Unable to base64 decode: its b64 is not base64") from None


def is_b64(value: Mapping[str, Any]) -> bool:
    """Whether an object is {"b64": ...}, which stands for bytes."""
    return value.keys() == {"b64"}


def _value(name: str, array: Array) -> Any:
    """What `json_bytes` takes: nested lists, an array, or text that is ready."""
    if array.dtype != object:
        return json_output.numbers(array)
    # TensorFlow Serving's rule: an output whose name ends in _bytes is binary. Others must be text;
    # where they are not, b64 is the only way to say it.
    return _text(array.tolist(), binary=name.endswith("_bytes"))


def _text(value: Any, binary: bool) -> Any:
    if isinstance(value, list):
        return [_text(item, binary) for item in value]
    if not isinstance(value, bytes):
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"{type(value).__name__} has no JSON form")
    if not binary:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(value).decode()}
