"""What a model server answers, and what can go wrong."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from celflow.errors import UserError
from serving.tensors import Array


class ServerError(UserError):
    """A model server did not answer as asked; the message is one line for a person.

    Attributes:
        code: gRPC's name, such as "UNAVAILABLE".
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ServerDown(ServerError):
    """Nothing answers at the address, or what does is too busy."""


class BadInput(ServerError):
    """The model does not take what was sent: not an image, a wrong signature or shape."""


class ModelNotFound(ServerError):
    """The server has no such model, version or label."""


class LoadFailed(ServerError):
    """A version that was waited for could not be loaded; the message has the server's reason."""


@dataclass(frozen=True)
class Classification:
    """One image's classes, the most likely first.

    Attributes:
        names: the classes.
        scores: theirs, falling.
        verdict: the name that the model stands by, or "unsure"; the most likely class where the
            model gives no verdict.
    """

    names: tuple[str, ...]
    scores: tuple[float, ...]
    verdict: str

    @property
    def name(self) -> str:
        """The most likely class."""
        return self.names[0]

    @property
    def score(self) -> float:
        """The score of the most likely class."""
        return self.scores[0]


@dataclass(frozen=True)
class Prediction:
    """What a model answered.

    Attributes:
        model: its name.
        version: the number of the version that answered.
        outputs: output name to array; strings are object arrays of bytes.
        milliseconds: of the round trip.
    """

    model: str
    version: int
    outputs: Mapping[str, Array]
    milliseconds: float

    def output(self, name: str, kind: str = "a model") -> Array:
        """One output; `kind` is what a model with this output is called in the message.

        Raises:
            BadInput: the model has no such output.
        """
        if name not in self.outputs:
            has = ", ".join(sorted(self.outputs))
            raise BadInput(
                f"{self.model} is not {kind}: it answers {has}, not {name}", "INVALID_ARGUMENT"
            )
        return self.outputs[name]

    def classifications(self) -> list[Classification]:
        """The classes of each image, the most likely first.

        Raises:
            BadInput: the model is no classifier: it lacks `scores` or `classes`.
        """
        scores = self.output("scores", "a classifier")
        classes = self.output("classes", "a classifier")
        if scores.ndim != 2 or scores.shape != classes.shape:
            shapes = f"scores {list(scores.shape)} for classes {list(classes.shape)}"
            raise ServerError(f"{self.model} answers {shapes}", "INTERNAL")
        order = np.argsort(-scores, axis=1, kind="stable")
        best_names = np.take_along_axis(classes, order, axis=1)[:, 0]
        verdicts = self.outputs.get("verdict", best_names)
        return [
            Classification(
                tuple(name.decode() for name in classes[row][best]),
                tuple(scores[row][best].tolist()),
                verdicts[row].decode(),
            )
            for row, best in enumerate(order)
        ]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its type (`float32`, `string`) and shape; None is a free size.

    The shape as a whole is None where even the number of dimensions is free.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """A way to call a model: its inputs and outputs by name."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class VersionStatus:
    """A version's state (START, LOADING, AVAILABLE, UNLOADING, END) and, if it failed, why."""

    version: int
    state: str
    error: str
