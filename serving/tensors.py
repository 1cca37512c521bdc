"""NumPy arrays to and from TensorProto, without TensorFlow; the server and its client share it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.protos import tensor_pb2, types_pb2

Array = NDArray[Any]

MAX_ARRAY_BYTES = 1 << 30
"""Largest array that a message may stand for: a few bytes can claim any shape."""

_FIELDS: dict[
    int, tuple[np.dtype[Any], str]
] = {  # DataType number: (NumPy type, field of TensorProto that holds its values)
    types_pb2.DT_FLOAT: (np.dtype(np.float32), "float_val"),
    types_pb2.DT_DOUBLE: (np.dtype(np.float64), "double_val"),
    types_pb2.DT_HALF: (np.dtype(np.float16), "half_val"),
    types_pb2.DT_INT8: (np.dtype(np.int8), "int_val"),
    types_pb2.DT_INT16: (np.dtype(np.int16), "int_val"),
    types_pb2.DT_INT32: (np.dtype(np.int32), "int_val"),
    types_pb2.DT_INT64: (np.dtype(np.int64), "int64_val"),
    types_pb2.DT_UINT8: (np.dtype(np.uint8), "int_val"),
    types_pb2.DT_UINT16: (np.dtype(np.uint16), "int_val"),
    types_pb2.DT_UINT32: (np.dtype(np.uint32), "uint32_val"),
    types_pb2.DT_UINT64: (np.dtype(np.uint64), "uint64_val"),
    types_pb2.DT_BOOL: (np.dtype(np.bool_), "bool_val"),
}
_NUMBERS = {dtype: number for number, (dtype, _) in _FIELDS.items()}


def to_array(proto: tensor_pb2.TensorProto) -> Array:
    """The array in a TensorProto; strings come as an object array of `bytes`.

    `tensor_content` is not copied: such an array is read-only. A `*_val` field with fewer values
    than the shape has repeats its last one (zero where it is empty), as TensorFlow does.

    Raises:
        ValueError: the message contradicts itself, is too large, or has a type not known here.
    """
    if proto.tensor_shape.unknown_rank:
        raise ValueError("its shape is unknown")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape {list(shape)} has a negative size")
    count = math.prod(shape)
    if proto.dtype == types_pb2.DT_STRING:
        return _fill(list(proto.string_val), np.dtype(object), shape, count, b"")
    if proto.dtype not in _FIELDS:
        raise ValueError(f"its type {dtype_name(proto.dtype)} is not supported")
    dtype, field = _FIELDS[proto.dtype]
    if proto.tensor_content:
        if len(proto.tensor_content) != count * dtype.itemsize:
            size = len(proto.tensor_content)
            raise ValueError(f"its {size} bytes are not a {dtype} array of shape {list(shape)}")
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values: Sequence[Any] = getattr(proto, field)
    if dtype == np.float16:  # kept as bit patterns
        return _fill(values, np.dtype(np.uint16), shape, count, 0).view(np.float16)
    return _fill(values, dtype, shape, count, 0)


def _fill(
    values: Sequence[Any], dtype: np.dtype[Any], shape: tuple[int, ...], count: int, empty: Any
) -> Array:
    if len(values) > count:
        raise ValueError(f"its {len(values)} values do not fit the shape {list(shape)}")
    if count * dtype.itemsize > MAX_ARRAY_BYTES:
        raise ValueError(f"its shape {list(shape)} is too large")
    try:
        array = np.full(count, values[-1] if len(values) else empty, dtype)
        array[: len(values)] = values
    except OverflowError:
        raise ValueError(f"it has a value outside the range of {dtype}") from None
    return array.reshape(shape)


def to_proto(array: Array, typed: bool = False) -> tensor_pb2.TensorProto:
    """A TensorProto with the values of `array`; `bytes` and `str` become DT_STRING.

    Args:
        array: of any shape; an object array must hold only `bytes` or `str`.
        typed: put numbers in their `*_val` field, as TensorFlow Serving does, for clients that
            read `float_val` by name; uint8, which images have, stays raw bytes all the same.

    Raises:
        ValueError: the array has a type that TensorProto has no place for.
    """
    array = np.asarray(array)
    proto = tensor_pb2.TensorProto()
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if array.dtype.kind in "OSU":
        proto.dtype = types_pb2.DT_STRING
        values = array.ravel().tolist()
        if not all(isinstance(value, (bytes, str)) for value in values):
            raise ValueError("an object array must hold only bytes or str")
        proto.string_val.extend(v.encode() if isinstance(v, str) else v for v in values)
        return proto
    if array.dtype.newbyteorder("=") not in _NUMBERS:
        raise ValueError(f"arrays of {array.dtype} cannot be sent")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    proto.dtype = _NUMBERS[array.dtype]
    if typed and array.dtype != np.uint8:
        bits: Array = array.view(np.uint16) if array.dtype == np.float16 else array
        getattr(proto, _FIELDS[proto.dtype][1]).extend(bits.ravel().tolist())
    else:
        proto.tensor_content = array.tobytes()
    return proto


def dtype_number(array: Array) -> int:
    """The DataType of `array`: DT_STRING for objects, DT_INVALID for what TensorProto lacks."""
    if array.dtype == object:
        return int(types_pb2.DT_STRING)
    return int(_NUMBERS.get(array.dtype, types_pb2.DT_INVALID))


def dtype_name(number: int) -> str:
    """`float32` for DT_FLOAT, `string` for DT_STRING; DT_NAME where NumPy has no name."""
    if number == types_pb2.DT_STRING:
        return "string"
    if number in _FIELDS:
        return str(_FIELDS[number][0])
    return str(types_pb2.DataType.Name(number)) if number in types_pb2.DataType.values() else "?"
