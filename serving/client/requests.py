"""Requests and their parts, from plain arguments."""

from collections.abc import Mapping, Sequence

import numpy as np

from serving.client.errors import BadInput
from serving.protos import model_pb2, predict_pb2
from serving.tensors import Array, fill_proto

VersionSpec = int | str | None
"""A version's number, a label such as "stable" or "canary", or None for the largest number."""

STYLES = {"strength": 1.0, "abstraction": 0.0}
"""The cartoonizer's styles, and their defaults."""


def model_spec(model: str, version: VersionSpec, signature: str = "") -> model_pb2.ModelSpec:
    """The message that names a model, a version and a signature."""
    spec = model_pb2.ModelSpec(name=model, signature_name=signature)
    if isinstance(version, str):
        spec.version_label = version
    elif version is not None:
        spec.version.value = version
    return spec


def predict_request(
    spec: model_pb2.ModelSpec, inputs: Mapping[str, Array], outputs: Sequence[str]
) -> predict_pb2.PredictRequest:
    """A `PredictRequest`.

    Raises:
        BadInput: an array has a type that cannot be sent.
    """
    request = predict_pb2.PredictRequest(model_spec=spec, output_filter=outputs)
    for name, array in inputs.items():
        try:
            fill_proto(request.inputs[name], array)
        except ValueError as error:
            raise BadInput(f"input {name}: {error}", "INVALID_ARGUMENT") from None
    return request


def describe(model: str, version: VersionSpec) -> str:
    """A model and a version for an error message: "xception version 3"."""
    if version is None:
        return model
    return (
        f"{model} labelled {version}" if isinstance(version, str) else f"{model} version {version}"
    )


def image_batch(images: Sequence[bytes]) -> Array:
    """The input `image_bytes`: an object array of bytes [N].

    Raises:
        BadInput: `images` is no list of bytes, or empty.
    """
    if isinstance(images, bytes) or not all(isinstance(image, bytes) for image in images):
        raise BadInput("images must be a list with the bytes of one file each", "INVALID_ARGUMENT")
    if not images:
        raise BadInput("there is no image to send", "INVALID_ARGUMENT")
    array = np.empty(len(images), object)
    array[:] = images
    return array


def styled_inputs(image: bytes, styles: Mapping[str, float]) -> dict[str, Array]:
    """The inputs of a signature `styled` for one image."""
    values = {name: np.array([value], np.float32) for name, value in {**STYLES, **styles}.items()}
    return {"image_bytes": image_batch([image]), **values}
