"""Large arrays of numbers in JSON, without a Python object for each number.

JSON's parsers stop all other threads for as long as they run, a second for 50 MB, and leave an
object of 32 bytes for each number. NumPy parses numbers while others run, but is less strict; so
the text of an array is checked first.
"""

import json
import math
import secrets
from typing import Any

import numpy as np
import orjson

from serving.server.byte_budget import Hold
from serving.tensors import Array

LARGE = 1 << 14
"""Bytes of text from which an array is worth it."""

OBJECT_BYTES = 64
"""What a value takes as a Python object, about."""

_MAX_STRINGS = 1000  # with more of them, a body is no array of numbers
_MAX_REST = 1 << 20  # bytes of the text around the arrays
_MAX_RANK = 16
_BLOCK = 1 << 20  # bytes of text that are checked at a time

_SPACE = b" \t\r\n"
_NUMBER = b"0123456789+-.eE"
_MARK = secrets.token_hex(16)  # begins the string that stands for an array; nobody can guess it

# What may follow what in an array of numbers, without spaces.
_OPEN, _CLOSE, _COMMA, _DIGIT, _ZERO, _POINT, _EXPONENT, _PLUS, _MINUS = range(1, 10)
_CLASSES = 10
_FOLLOWERS = {
    _OPEN: (_OPEN, _DIGIT, _ZERO, _MINUS),
    _COMMA: (_OPEN, _DIGIT, _ZERO, _MINUS),
    _CLOSE: (_CLOSE, _COMMA),
    _DIGIT: (_DIGIT, _ZERO, _POINT, _EXPONENT, _COMMA, _CLOSE),
    _ZERO: (_DIGIT, _ZERO, _POINT, _EXPONENT, _COMMA, _CLOSE),
    _POINT: (_DIGIT, _ZERO),
    _EXPONENT: (_DIGIT, _ZERO, _PLUS, _MINUS),
    _PLUS: (_DIGIT, _ZERO),
    _MINUS: (_DIGIT, _ZERO),
}


def _tables() -> tuple[Array, Array]:
    """Byte to class; and whether one class may follow another, at _CLASSES * first + second."""
    classes = np.zeros(256, np.uint8)
    for text, number in (
        (b"[", _OPEN), (b"]", _CLOSE), (b",", _COMMA), (b"123456789", _DIGIT), (b"0", _ZERO),
        (b".", _POINT), (b"eE", _EXPONENT), (b"+", _PLUS), (b"-", _MINUS),
    ):  # fmt: skip
        classes[list(text)] = number
    follows = np.zeros((_CLASSES, _CLASSES), np.bool_)
    for first, seconds in _FOLLOWERS.items():
        follows[first, list(seconds)] = True
    return classes, follows.ravel()


_CLASS_OF, _FOLLOWS = _tables()
_NO_BRACKETS = bytes.maketrans(b"[]", b"  ")
_AFTER_SPACE = bytes.maketrans(b"\t\r\n", b"   ")


def loads(text: bytes, hold: Hold) -> Any:
    """`json.loads`, but large arrays of numbers come as arrays of int64 or float64.

    Args:
        text: JSON; NaN, Infinity and -Infinity are numbers, too.
        hold: is charged for what the values take.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deep.
        StatusError: RESOURCE_EXHAUSTED.
    """
    if not text:
        raise ValueError("The document is empty")
    arrays: dict[str, Array] = {}
    rest = text
    if len(text) >= LARGE and b"\\" not in text and text.count(b'"') <= 2 * _MAX_STRINGS:
        replaced = _without_arrays(text, arrays, hold)
        if len(replaced) <= _MAX_REST:
            rest = replaced
        else:
            arrays.clear()
    hold.add(OBJECT_BYTES * sum(rest.count(sign) for sign in (b",", b"[", b"{")))
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(rest)  # knows NaN and Infinity
        except json.JSONDecodeError as error:
            if arrays:  # the position would be wrong
                raise ValueError(error.msg) from None
            raise
    return _with_arrays(value, arrays) if arrays else value


def _without_arrays(text: bytes, arrays: dict[str, Array], hold: Hold) -> bytes:
    """`text`, which has no backslash, with strings in the places of large arrays."""
    parts = text.split(b'"')
    for index in range(0, len(parts), 2):  # the others are in strings
        part = parts[index]
        if len(part) < LARGE:
            continue
        start = part.find(b"[")
        brace = part.find(b"}", start)
        end = part.rfind(b"]", start, brace if brace >= 0 else len(part)) + 1
        array = parse_array(part[start:end], hold) if 0 <= start < end else None
        if array is not None:
            name = f"{_MARK}{len(arrays)}"
            arrays[name] = array
            parts[index] = b'%b"%b"%b' % (part[:start], name.encode(), part[end:])
    return b'"'.join(parts)


def _with_arrays(value: Any, arrays: dict[str, Array]) -> Any:
    if isinstance(value, dict):
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    return arrays.get(value, value) if isinstance(value, str) else value


def parse_array(text: bytes, hold: Hold) -> Array | None:
    """The array of int64 or float64 in `text`, `[[1, 2], [3, 4]]`; None where it is anything else.

    It may be None, too, for some arrays that JSON allows: with a space before a comma, say.
    """
    if _has_space_in_numbers(text):
        return None
    dense = text.translate(None, _SPACE)
    shape = _shape(dense.translate(None, _NUMBER))
    if shape is None or not _is_json(dense):
        return None
    count = math.prod(shape)
    is_float = any(sign in dense for sign in (b".", b"e", b"E"))
    numbers = dense.translate(_NO_BRACKETS)
    hold.add(2 * len(text) + 8 * count)
    try:  # an end is put behind, because NumPy passes over what it cannot read at the end
        values = np.fromstring(numbers + b",7", np.float64 if is_float else np.int64, sep=",")
    except ValueError:
        return None
    if len(values) != count + 1 or values[-1] != 7:
        return None
    values = values[:-1]
    limits = np.iinfo(np.int64)
    if not is_float and (values.min() == limits.min or values.max() == limits.max):
        return None  # larger numbers end there
    return values.reshape(shape)


def _has_space_in_numbers(text: bytes) -> bool:
    """Whether a space follows anything but a comma, a bracket or a space."""
    data = np.frombuffer(text.translate(_AFTER_SPACE), np.uint8)
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK + 1]
        before = block[:-1][block[1:] == ord(" ")]
        if not np.isin(before, list(b",[] ")).all():
            return True
    return False


def _is_json(dense: bytes) -> bool:
    """Whether the parts of numbers, commas and brackets follow each other as JSON has them."""
    data = np.frombuffer(dense, np.uint8)
    for start in range(0, len(data), _BLOCK):
        classes = _CLASS_OF[data[start : start + _BLOCK + 2]]
        first, second = classes[:-1], classes[1:]
        if not _FOLLOWS[_CLASSES * first + second].all():
            return False
        begins = (first == _OPEN) | (first == _COMMA) | (first == _MINUS)
        begins[1:] &= first[:-1] != _EXPONENT
        zeros = begins[:-1] & (second[:-1] == _ZERO)
        if (zeros & ((second[1:] == _DIGIT) | (second[1:] == _ZERO))).any():
            return False
    return True


def _shape(brackets: bytes) -> tuple[int, ...] | None:
    """The shape of an array, of which there are only the brackets and commas."""
    rank = len(brackets) - len(brackets.lstrip(b"["))
    if not 1 <= rank <= _MAX_RANK:
        return None
    inner = b""
    shape: list[int] = []
    for start in range(rank - 1, -1, -1):
        end = brackets.find(inner + b"]", start) + len(inner) + 1
        size = (end - start - 1) // (len(inner) + 1)
        outer = b"[" + b",".join([inner] * size) + b"]"
        if not size or brackets[start:end] != outer:
            return None
        shape.insert(0, size)
        inner = outer
    return tuple(shape) if inner == brackets else None
