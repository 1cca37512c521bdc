"""What versions of a model answer through a model server."""

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from celflow import images, metrics
from celflow.errors import UserError
from celflow.manifest import Examples, Split
from celflow.params import Params
from celflow.registry import RegisteredVersion
from serving.client import BadInput, Client, Prediction

TIMED = 20  # requests by which an answer's time is told, one at a time
GROUPS = 8  # of pictures, each of which is left out once
IN_FLIGHT = 8


@dataclass(frozen=True)
class Answers:
    """A classifier's answers to the test pictures.

    scores: float32 [N, C] in the order of the labels; a further column stands for all other names.
    """

    labels: list[str]
    truth: np.ndarray
    scores: np.ndarray
    milliseconds: float

    @property
    def best(self) -> np.ndarray:
        """int [N]: the class with the best score."""
        found: np.ndarray = self.scores.argmax(axis=1)
        return found

    def figure(self, metric: str) -> float:
        """`accuracy` or `balanced_accuracy`."""
        measure = {"accuracy": metrics.accuracy, "balanced_accuracy": metrics.balanced_accuracy}
        return measure[metric](self.truth, self.scores)


@dataclass(frozen=True)
class Measured:
    """A metric of all test pictures, and of them without each of some groups."""

    value: float
    without: list[float]
    milliseconds: float


def warm_up(client: Client, version: RegisteredVersion) -> None:
    """Let a version answer once.

    Raises:
        UserError: it does not answer, or not with numbers.
    """
    picture = images.encode_png(np.full((64, 64, 3), 127, np.uint8))
    _check_finite(client.predict(version.model, [picture], version.version))


def _check_finite(answer: Prediction) -> None:
    for name, values in answer.outputs.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(
                f"{answer.model} version {answer.version} answers with {name} that are no finite "
                "numbers: it can't be used"
            )


def of_classifier(
    client: Client, versions: Sequence[RegisteredVersion], test: Examples
) -> list[Answers]:
    """What each version of a classifier answers to the test pictures."""
    times = _times(client, versions, [Path(path) for path in test.paths])
    found = []
    for version, milliseconds in zip(versions, times, strict=True):
        paths = [Path(path) for path in test.paths]
        rows = [
            _row(answer, test.labels)
            for answer in client.predict_many(version.model, paths, version.version, IN_FLIGHT)
        ]
        found.append(Answers(test.labels, test.truth, np.stack(rows), milliseconds))
    return found


def of_others(
    client: Client, versions: Sequence[RegisteredVersion], metric: str,
    splits: Mapping[Split, Examples], params: Params,
) -> list[Measured]:  # fmt: skip
    """A metric of what each version of a picture model or face detector answers."""
    # As in training: TensorFlow calls it an error that a machine has no GPU.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from stages.models.common import table

    test = splits["test"]
    times = _times(client, versions, [Path(path) for path in test.paths])
    found = []
    for version, milliseconds in zip(versions, times, strict=True):
        answer = faces if params.task(version.model) == "faces" else drawing
        predictor = _Remembering(partial(answer, client, version))
        model = table.create(version.model, params)

        def value(chosen: np.ndarray, model: Any = model, predictor: Any = predictor) -> float:
            some = Examples([test.paths[i] for i in chosen], test.truth[chosen], test.labels)
            # Of train, sketchify draws a line that says how good it is to know nothing.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that line is poor where pictures are few
                measured = model.measure(predictor, {**splits, "train": test, "test": some})
            return float(measured.metrics[metric])

        everything, groups = np.arange(len(test)), _groups(test)
        without = [value(np.flatnonzero(groups != group)) for group in np.unique(groups)]
        found.append(Measured(value(everything), without, milliseconds))
    return found


def disagreement(test: Examples, old: Answers, new: Answers) -> list[dict[str, str]]:
    """The pictures to which two classifiers give another best answer."""
    names = [*test.labels, "another name"]
    return [
        {
            "picture": test.paths[i],
            "truth": names[test.truth[i]],
            "champion": names[old.best[i]],
            "candidate": names[new.best[i]],
        }
        for i in np.flatnonzero(old.best != new.best)
    ]


def _groups(test: Examples) -> np.ndarray:
    """int [N]: a group for each picture, as many of each class in each."""
    groups = np.zeros(len(test), int)
    for label in np.unique(test.truth):
        places = np.flatnonzero(test.truth == label)
        groups[places] = np.arange(len(places)) % GROUPS
    return groups


def _times(
    client: Client, versions: Sequence[RegisteredVersion], paths: Sequence[Path]
) -> list[float]:
    """Median milliseconds of an answer to one picture, the versions in turn."""
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, TIMED).round().astype(int)]
    times: list[list[float]] = [[] for _ in versions]
    for path in chosen:
        data = path.read_bytes()
        for version, seen in zip(versions, times, strict=True):
            seen.append(client.predict(version.model, [data], version.version).milliseconds)
    return [float(np.median(seen[2:])) for seen in times]


def _row(answer: Prediction | BadInput, labels: list[str]) -> np.ndarray:
    """float32 [C + 1]: scores by label, then what all other names have together.

    A class that this version never learned scores 0; a name that is none of the test set's
    (enrolled since, or "unknown") is a wrong answer for every picture of it.
    """
    if isinstance(answer, BadInput):
        raise answer
    _check_finite(answer)
    names = [name.decode() for name in answer.outputs["classes"][0]]
    scores = dict(zip(names, answer.outputs["scores"][0].tolist(), strict=True))
    rest = [score for name, score in scores.items() if name not in labels]
    return np.array([*(scores.get(label, 0.0) for label in labels), sum(rest)], np.float32)


class _Remembering:
    """A predictor that asks for each picture once."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        key = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        if key not in self._known:
            self._known[key] = self._ask(pixels)
        return self._known[key]


def drawing(client: Client, version: RegisteredVersion, pixels: np.ndarray) -> np.ndarray:
    """What a picture model draws of uint8 [H, W, 3]."""
    answer = client.predict(version.model, [images.encode_png(pixels)], version.version)
    return images.open_image(answer.outputs["image_png"][0]).pixels


def faces(client: Client, version: RegisteredVersion, pixels: np.ndarray) -> np.ndarray:
    """What a face detector finds in uint8 [H, W, 3]: float32 [K, 5], boxes and scores."""
    answer = client.predict(version.model, [images.encode_png(pixels)], version.version)
    count = int(answer.outputs["count"][0])
    boxes, scores = (answer.outputs[name][0][:count] for name in ("boxes", "scores"))
    return np.column_stack([boxes, scores])
