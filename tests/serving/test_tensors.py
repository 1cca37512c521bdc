"""Our conversion of tensors against TensorFlow's own, both ways."""

from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.protos import tensor_pb2, types_pb2
from serving.tensors import (
    MAX_REPEATED_BYTES,
    STRING_BYTES,
    array_bytes,
    dtype_name,
    to_array,
    to_proto,
)

NUMBERS = [
    np.float16,
    np.float32,
    np.float64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.bool_,
]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
numbers = st.sampled_from(NUMBERS).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES))
strings = arrays.arrays(object, SHAPES, elements=st.binary(max_size=8), fill=st.nothing())


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


@settings(max_examples=150, deadline=None)
@given(array=numbers, typed=st.booleans())
def test_numbers(tf: Any, array: np.ndarray, typed: bool) -> None:
    theirs = tf.make_ndarray(to_proto(array, typed))
    np.testing.assert_array_equal(theirs, array)
    assert theirs.dtype == array.dtype
    ours = to_array(tf.make_tensor_proto(array))
    np.testing.assert_array_equal(ours, array)
    assert (ours.dtype, ours.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(to_array(to_proto(array, typed)), array)


@settings(max_examples=100, deadline=None)
@given(array=strings)
def test_strings(tf: Any, array: np.ndarray) -> None:
    assert tf.make_ndarray(to_proto(array)).tolist() == array.tolist()
    ours = to_array(tf.make_tensor_proto(array, tf.string))
    assert ours.tolist() == array.tolist()
    assert ours.shape == array.shape


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.integers(-100, 100), max_size=4), extra=st.integers(0, 4))
def test_short_fields_repeat_their_last_value(tf: Any, values: list[int], extra: int) -> None:
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT32, int_val=values)
    proto.tensor_shape.dim.add().size = len(values) + extra
    np.testing.assert_array_equal(to_array(proto), tf.make_ndarray(proto))


def test_text_and_other_byte_orders() -> None:
    assert to_array(to_proto(np.array(["é"]))).tolist() == ["é".encode()]
    assert to_array(to_proto(np.array([1, 2], ">i4"))).tolist() == [1, 2]
    assert to_array(to_proto(np.arange(6).reshape(2, 3).T)).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_fields_that_clients_read_by_name() -> None:
    assert to_proto(np.array([True, False]), typed=True).bool_val == [True, False]
    assert to_proto(np.int8([-1, 2]), typed=True).int_val == [-1, 2]
    assert to_proto(np.float16([1]), typed=True).half_val == [0x3C00]
    assert to_proto(np.uint8([7]), typed=True).tensor_content == b"\7"  # pictures are too large


@settings(max_examples=50, deadline=None)
@given(array=arrays.arrays(st.sampled_from([np.float32, np.float64]), SHAPES))
def test_packed_floats_are_what_extend_makes(array: np.ndarray) -> None:
    ours, theirs = to_proto(array, typed=True), to_proto(array)
    theirs.ClearField("tensor_content")
    field = "float_val" if array.dtype == np.float32 else "double_val"
    getattr(theirs, field).extend(array.ravel().tolist())
    assert ours.SerializeToString() == theirs.SerializeToString()


def test_what_an_array_will_take_is_known_before() -> None:
    small = proto(types_pb2.DT_FLOAT, [1000], float_val=[1])
    assert array_bytes(small) == to_array(small).nbytes == 4000
    assert array_bytes(proto(types_pb2.DT_FLOAT, [1 << 40], float_val=[1])) == MAX_REPEATED_BYTES
    assert array_bytes(to_proto(np.zeros(9))) == 0
    assert array_bytes(to_proto(np.array([b"a", b"b"], object))) == 2 * STRING_BYTES
    assert array_bytes(proto(types_pb2.DT_VARIANT, [5])) == 0


def test_content_is_not_copied() -> None:
    assert not to_array(to_proto(np.arange(3))).flags.owndata


@pytest.mark.parametrize("array", [np.array([None]), np.array([1j]), np.array([[1], "a"], object)])
def test_what_cannot_be_sent(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"cannot be sent|only bytes or str"):
        to_proto(array)


def proto(dtype: int, shape: list[int], **fields: Any) -> Any:
    message = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        message.tensor_shape.dim.add().size = size
    return message


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (proto(types_pb2.DT_FLOAT, [-1]), "negative"),
        (proto(types_pb2.DT_FLOAT, [1 << 40]), "too large"),
        (proto(types_pb2.DT_FLOAT, [1 << 26], float_val=[1]), "too large"),
        (proto(types_pb2.DT_STRING, [1 << 40]), "too large"),
        (proto(types_pb2.DT_FLOAT, [1], float_val=[1, 2]), "do not fit"),
        (proto(types_pb2.DT_FLOAT, [2], tensor_content=b"1234"), "4 bytes"),
        (proto(types_pb2.DT_UINT8, [1], int_val=[300]), "outside the range"),
        (proto(types_pb2.DT_VARIANT, []), "DT_VARIANT is not supported"),
        (proto(types_pb2.DT_INVALID, []), "not supported"),
        (proto(9999, []), "not supported"),
    ],
)
def test_messages_that_contradict_themselves(message: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_array(message)


def test_unknown_rank() -> None:
    message = proto(types_pb2.DT_FLOAT, [])
    message.tensor_shape.unknown_rank = True
    with pytest.raises(ValueError, match="unknown"):
        to_array(message)


def test_names_of_types() -> None:
    assert dtype_name(types_pb2.DT_FLOAT) == "float32"
    assert dtype_name(types_pb2.DT_STRING) == "string"
    assert dtype_name(types_pb2.DT_VARIANT) == "DT_VARIANT"
    assert dtype_name(9999) == "?"
