"""Numbers in JSON without Python objects, against the standard library's."""

import json
import random
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server.api import json_numbers, json_output, json_tensor
from serving.server.byte_budget import NO_BUDGET, ByteBudget
from serving.server.status import StatusError

TEXTS = ["[1,2,3]", "[[1.5,-2e-05],[0,0.5E+3]]", "[[[10, 20], [30, 0]]]", "[-0, 100]"]
SIGNS = "0123456789+-.eE,,[] \n"


def parsed(text: str) -> Any:
    return json_numbers.parse_array(text.encode(), NO_BUDGET.hold())


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False))
def test_an_array_is_what_json_says_or_none(text: str, chance: random.Random) -> None:
    signs = list(text)
    for _ in range(chance.randint(0, 2)):
        place = chance.randrange(len(signs) + 1)
        signs[place : place + chance.randint(0, 1)] = chance.choice([*SIGNS, ""])
    text = "".join(signs)
    ours = parsed(text)
    if ours is None:
        return
    theirs = np.array(json.loads(text))
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("text", TEXTS)
def test_arrays_that_are_read(text: str) -> None:
    assert parsed(text).tolist() == json.loads(text)


@pytest.mark.parametrize(
    "text",
    ["[01]", "[-01]", "[1.]", "[.5]", "[+1]", "[1e]", "[1 2]", "[1,]", "[[1],[1,2]]", "[1][2]",
     "[]", "[1,2 3]", "[1]5", "[1[,2]]", "[9223372036854775808]", "[null]", "[1,2", "1", "[1.2.3]"],
)  # fmt: skip
def test_what_is_left_to_the_parser(text: str) -> None:
    assert parsed(text) is None


def large(*shape: int) -> Any:
    return np.random.default_rng(1).random(shape).round(3)


@pytest.mark.parametrize(
    "value",
    [
        {"instances": large(2, 50, 100).tolist()},
        {"signature_name": "é]", "inputs": {"a": large(5000).tolist(), "b": ["[1]", 1, None]}},
        {"instances": [{"a": large(4000).tolist(), "b": 1}, {"a": large(4000).tolist(), "b": 2}]},
        {"inputs": [*large(5000).tolist(), "a"]},
        {"inputs": [*large(5000).tolist(), float("inf")]},
        {"inputs": ["[" + "1," * 20_000 + "1]"]},
        {"inputs": ['\\"', large(5000).tolist()]},
    ],
)
def test_bodies_mean_what_they_mean_to_json(value: Any) -> None:
    def lists(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: lists(each) for key, each in item.items()}
        return (
            item.tolist()
            if isinstance(item, np.ndarray)
            else ([lists(each) for each in item] if isinstance(item, list) else item)
        )

    text = json.dumps(value)
    assert lists(json_numbers.loads(text.encode(), NO_BUDGET.hold())) == json.loads(text)


def test_large_arrays_come_as_arrays_and_are_counted() -> None:
    budget = ByteBudget(1 << 20)
    text = json.dumps({"inputs": large(100, 100).tolist()}).encode()
    with budget.hold() as hold:
        assert isinstance(json_numbers.loads(text, hold)["inputs"], np.ndarray)
        assert budget.held > 8 * 10_000
    with pytest.raises(StatusError, match="leave no space"), budget.hold() as hold:
        json_numbers.loads(b"[" + b"[]," * 200_000 + b"[]]", hold)
    assert budget.held == 0


@pytest.mark.parametrize("text", [b"{", b"[1", b'{"a": [' + b"1," * 20_000 + b"}"])
def test_no_json(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|value"):
        json_numbers.loads(text, NO_BUDGET.hold())


FLOATS = arrays.arrays(
    st.sampled_from([np.float16, np.float32, np.float64]), arrays.array_shapes(min_dims=0)
)


@settings(max_examples=200, deadline=None)
@given(FLOATS)
def test_numbers_read_back(array: np.ndarray) -> None:
    text = json_output.json_bytes({"outputs": json_output.numbers(array)})
    back = np.array(json.loads(text)["outputs"]).astype(array.dtype)
    np.testing.assert_array_equal(back, array)


def test_words_and_shortest_decimals() -> None:
    array = np.array([[0.1, np.nan], [np.inf, -np.inf]], np.float32)
    assert json_output.json_bytes(json_output.numbers(array)) == b"[[0.1,NaN],[Infinity,-Infinity]]"
    assert json_output.json_bytes(json_output.numbers(np.float16([65504]))) == b"[65504.0]"
    assert json_output.json_bytes(json_output.numbers(np.zeros((2, 0)))) == b"[[],[]]"


def test_long_arrays_are_written_in_pieces() -> None:
    array = np.arange(700_000, dtype=np.float32).reshape(1, 7, 100_000)
    array[0, 3, 5] = np.nan
    back = np.array(json.loads(json_output.json_bytes(json_output.numbers(array))))
    np.testing.assert_array_equal(back, array)
    flat = np.arange(700_000)
    assert json.loads(json_output.json_bytes(json_output.numbers(flat))) == flat.tolist()


KINDS = {
    "float": lambda size: [x / 4 for x in range(size)],
    "bool": lambda size: [bool(x % 2) for x in range(size)],
    "text": lambda size: [f"nö {x}" for x in range(size)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2, 2), (1,), (0,)])
def test_rows_of_several_outputs_of_any_shape(kind: str, shape: tuple[int, ...]) -> None:
    values = np.array(KINDS[kind](int(np.prod(shape)))).reshape(shape)
    sent = np.vectorize(str.encode, otypes=[object])(values) if kind == "text" else values
    outputs = {"a": sent, "b": np.arange(shape[0])}
    said = json.loads(json_output.json_bytes(json_tensor.rows(outputs)))
    assert said == {
        "predictions": [{"a": row, "b": number} for number, row in enumerate(values.tolist())]
    }
    said = json.loads(json_output.json_bytes(json_tensor.columns(outputs)))
    assert said == {"outputs": {"a": values.tolist(), "b": list(range(shape[0]))}}
