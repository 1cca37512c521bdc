"""The answer of a model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serving.client.errors import BadInput, ServerError
from serving.tensors import Array


@dataclass(frozen=True)
class Classification:
    """One image's classes, the most likely first.

    Attributes:
        names: the classes.
        scores: of the classes, falling.
        verdict: the model's decision, a class or "unsure"; the most likely class where the model
            makes none.
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
class FoundFace:
    """A face in a picture.

    Attributes:
        box: left, top, width and height in pixels of the picture.
        score: how sure the detector is, 0 to 1.
    """

    box: tuple[float, float, float, float]
    score: float


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
        """One output.

        Args:
            name: of the output.
            kind: what a model with this output is called in the error message.

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

    def faces(self) -> list[list[FoundFace]]:
        """The faces in each image, the surest first.

        Raises:
            BadInput: the model is no face detector: it lacks `boxes`, `scores` or `count`.
        """
        boxes, scores, count = (
            self.output(name, "a face detector") for name in ("boxes", "scores", "count")
        )
        if boxes.shape != (*scores.shape, 4) or scores.shape[:1] != count.shape:
            shapes = f"boxes {list(boxes.shape)} for scores {list(scores.shape)}"
            raise ServerError(f"{self.model} answers {shapes}", "INTERNAL")
        return [
            [
                FoundFace(tuple(box), score)
                for box, score in zip(
                    boxes[row, :n].tolist(), scores[row, :n].tolist(), strict=True
                )
            ]
            for row, n in enumerate(count.tolist())
        ]
