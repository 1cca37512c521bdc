"""JSON text: numbers as TensorFlow Serving writes them, without a Python object for each."""

import math
from typing import Any

import numpy as np
import orjson

from serving.tensors import Array

_BLOCK = 1 << 18  # numbers that are written at a time: meanwhile other threads stand still


def json_bytes(content: Any) -> bytes:
    """JSON, without indentation, of nested lists and dictionaries and of what `numbers` gives.

    Raises:
        TypeError: a string in it is not Unicode, or an object has no JSON form.
    """
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def number(value: float) -> "float | orjson.Fragment":
    """A number for `json_bytes`, which has no words for NaN and infinity."""
    return value if math.isfinite(value) else orjson.Fragment(_word(value))


def numbers(array: Array) -> Any:
    """An array for `json_bytes`.

    Floats get the shortest decimal that reads back as the same number of their type: 0.1, not
    0.10000000149. (float16 and bfloat16 are written as float32: 65504, the largest, not 65500.)
    """
    if array.dtype == np.float16 or array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.ndim == 0:
        return array[()] if np.isfinite(array) else number(array.item())
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return orjson.Fragment(_with_words(array))
    return np.ascontiguousarray(array) if array.size <= _BLOCK else orjson.Fragment(_text(array))


def _text(array: Array) -> bytes:
    pieces = -(-array.size // _BLOCK)
    if pieces <= 1:
        return json_bytes(np.ascontiguousarray(array))
    if len(array) < pieces:
        return b"[" + b",".join(map(_text, array)) + b"]"
    return b"[" + b",".join(_text(part)[1:-1] for part in np.array_split(array, pieces)) + b"]"


def _with_words(array: Array) -> bytes:
    """The text of an array in which some numbers are not finite: orjson writes null for those."""
    parts = _text(array).split(b"null")
    words = [_word(value) for value in array[~np.isfinite(array)].tolist()]
    return b"".join(part + word for part, word in zip(parts, [*words, b""], strict=True))


def _word(value: float) -> bytes:
    if math.isnan(value):
        return b"NaN"
    return b"Infinity" if value > 0 else b"-Infinity"
