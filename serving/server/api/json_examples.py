"""Classify and Regress in JSON: examples in, labels with scores or values out."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.protos import (
    classification_pb2,
    example_pb2,
    feature_pb2,
    input_pb2,
    regression_pb2,
)
from serving.server.api.json_output import number
from serving.server.api.json_tensor import decoded, is_b64
from serving.server.status import invalid

FLOAT32_OVERFLOW = 3.4028235677973366e38
"""Larger numbers are rounded to infinity in float32."""


def fill_input(query: Mapping[str, Any], target: input_pb2.Input) -> None:
    """Write "examples" and "context" of a request's body into an `Input`.

    Raises:
        StatusError: INVALID_ARGUMENT, naming the feature.
    """
    rows = query.get("examples")
    if not isinstance(rows, list) or not rows:
        raise invalid("Expecting 'examples' value to be a list with at least one example")
    if "context" in query:
        target.example_list_with_context.context.CopyFrom(_example(query["context"]))
        examples = target.example_list_with_context.examples
    else:
        examples = target.example_list.examples
    examples.extend(_example(row) for row in rows)


def classifications(result: classification_pb2.ClassificationResult) -> dict[str, Any]:
    """{"results": [[[label, score], ...] for each example]}."""
    return {
        "results": [
            [[entry.label, _decimal(entry.score)] for entry in row.classes]
            for row in result.classifications
        ]
    }


def regressions(result: regression_pb2.RegressionResult) -> dict[str, Any]:
    """{"results": [value, ...]}."""
    return {"results": [_decimal(row.value) for row in result.regressions]}


def _decimal(value: float) -> Any:
    return number(float(f"{value:.7g}") if abs(value) < 1e38 else value)


def _example(row: Any) -> example_pb2.Example:
    if not isinstance(row, dict):
        raise invalid(f"Example must be JSON object but got JSON {type(row).__name__}")
    example = example_pb2.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, np.ndarray):
            value = value.tolist()
        for item in value if isinstance(value, list) else [value]:
            _add(name, item, feature)
    return example


def _add(name: str, item: Any, feature: feature_pb2.Feature) -> None:
    """Add one value; all values of a feature are of one kind."""
    kind: str
    if isinstance(item, (bool, int)):
        kind, item = "int64_list", int(item)
    elif isinstance(item, float):
        kind = "float_list"
        if math.isfinite(item) and abs(item) > FLOAT32_OVERFLOW:
            raise invalid(f"Feature: {name} has a value that is out of range")
    elif isinstance(item, str):
        kind, item = "bytes_list", item.encode()
    elif isinstance(item, dict) and is_b64(item) and isinstance(item["b64"], str):
        kind = "bytes_list"
        try:
            item = decoded(item["b64"])
        except ValueError:
            raise invalid("Unable to base64 decode") from None
    else:
        raise invalid(
            f"Feature: {name} has element with unexpected JSON type: {type(item).__name__}"
        )
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: "
            f"{present.removesuffix('_list')}"
        )
    try:
        getattr(feature, kind).value.append(item)
    except (ValueError, OverflowError):
        raise invalid(f"Feature: {name} has a value that is out of range") from None
