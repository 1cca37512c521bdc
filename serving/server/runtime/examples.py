"""Classify, Regress and MultiInference: lists of `tf.train.Example` to classes and values."""

from collections.abc import Mapping

import grpc
import numpy as np

from serving.protos import classification_pb2, input_pb2, regression_pb2
from serving.server.runtime.image_limits import refuse_bombs
from serving.server.runtime.signature import Signature
from serving.server.status import StatusError, invalid
from serving.tensors import Array

INPUTS = "inputs"
"""The only input of a signature that takes examples."""


def serialized(examples: input_pb2.Input) -> dict[str, Array]:
    """The examples of an `Input` as the array for `INPUTS`: bytes [N].

    A shared context is put before each example: the two are merged, the example's fields win.

    Raises:
        StatusError: INVALID_ARGUMENT where it is empty, or has a decompression bomb.
    """
    context = b""
    rows = examples.example_list.examples
    if examples.WhichOneof("kind") == "example_list_with_context":
        context = examples.example_list_with_context.context.SerializeToString()
        rows = examples.example_list_with_context.examples
    if not rows:
        raise invalid("Input is empty.")
    refuse_bombs(
        INPUTS,
        (
            value
            for row in rows
            for feature in row.features.feature.values()
            for value in feature.bytes_list.value
        ),
    )
    array = np.empty(len(rows), object)
    array[:] = [context + row.SerializeToString() for row in rows]
    return {INPUTS: array}


def check_classifier(signature: Signature) -> None:
    """Refuse a signature that does not classify; raises `StatusError`, as the real server."""
    definition = signature.definition
    if len(definition.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(definition.outputs) not in (1, 2):
        count = len(definition.outputs)
        raise invalid(f"Expected one or two output Tensors, found {count}")
    if INPUTS not in definition.inputs:
        raise _precondition(f"No classification inputs found in SignatureDef: {definition}")
    if not {"classes", "scores"} & set(definition.outputs):
        raise _precondition(
            'Expected classification signature outputs to contain at least one of "classes" or '
            f'"scores". Signature was: {definition}'
        )


def check_regressor(signature: Signature) -> None:
    """Refuse a signature that does not regress; raises `StatusError`, as the real server."""
    definition = signature.definition
    if len(definition.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(definition.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if INPUTS not in definition.inputs:
        raise _precondition(f"No regression inputs found in SignatureDef: {definition}")
    if "outputs" not in definition.outputs:
        raise _precondition(f"No regression outputs found in SignatureDef: {definition}")


def fill_classes(
    outputs: Mapping[str, Array], count: int, result: classification_pb2.ClassificationResult
) -> None:
    """Write `classes` and `scores`, either of which may be missing, into a `ClassificationResult`.

    Raises:
        StatusError: INVALID_ARGUMENT where they are not [count, C] of strings and floats.
    """
    for name, dtype in (("classes", object), ("scores", np.float32)):
        if name not in outputs:
            continue
        array = outputs[name]
        if array.ndim != 2:
            raise invalid(
                f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}"
            )
        if array.dtype != dtype:
            kind = "DT_STRING" if dtype is object else "DT_FLOAT"
            raise invalid(f"Expected {name} Tensor of {kind}. Got: {array.dtype}")
        if len(array) != count:
            raise invalid(f"Expected {name} output batch size of {count}. Got: {len(array)}")
    if len({array.shape for name, array in outputs.items() if name in ("classes", "scores")}) > 1:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{outputs['classes'].shape[1]} vs. {outputs['scores'].shape[1]}"
        )
    labels = outputs["classes"].tolist() if "classes" in outputs else None
    scores = outputs["scores"].tolist() if "scores" in outputs else None
    for row in range(count):
        classes = result.classifications.add().classes
        for column in range(len((labels or scores or [[]])[row])):
            entry = classes.add()
            if labels:
                entry.label = labels[row][column].decode(errors="replace")
            if scores:
                entry.score = scores[row][column]


def fill_values(
    outputs: Mapping[str, Array], count: int, result: regression_pb2.RegressionResult
) -> None:
    """Write `outputs` into a `RegressionResult`.

    Raises:
        StatusError: INVALID_ARGUMENT where they are not float32 [count] or [count, 1].
    """
    array = outputs["outputs"]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{list(array.shape)}"
        )
    if len(array) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {array.dtype}")
    for value in array.ravel().tolist():
        result.regressions.add().value = value


def _precondition(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)
