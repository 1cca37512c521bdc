"""Pictures that a model server was asked, from its request logs, and whether two answers agree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving import request_logs
from serving.client import Prediction
from serving.tensors import to_array

INPUT = "image_bytes"
LEVELS = 8.0  # of 255, by which two drawings of a photo may differ in the mean


@dataclass(frozen=True)
class Asked:
    """One picture, encoded as the client sent it, and what the model answered."""

    picture: bytes
    answer: Prediction


def logged(records: Iterable[Any], model: str) -> Iterator[Asked]:
    """The pictures in a request log's records of a model, in order."""
    for record in records:
        log = record.predict_log
        if log.request.model_spec.name != model or INPUT not in log.request.inputs:
            continue
        pictures = to_array(log.request.inputs[INPUT]).ravel()
        outputs = {name: to_array(proto) for name, proto in log.response.outputs.items()}
        version = log.response.model_spec.version.value
        for row, picture in enumerate(pictures.tolist()):
            one = {name: array[row : row + 1] for name, array in outputs.items()}
            yield Asked(picture, Prediction(model, version, one, 0.0))


def in_log(log: Path, model: str) -> Iterator[Asked]:
    """The pictures of a log: one file, or the prefix of several."""
    for file in request_logs.files(log):
        yield from logged(request_logs.read(file), model)


def in_words(answer: Prediction) -> str:
    """An answer for people: a class, "unsure", a number of faces, or a drawing."""
    if "classes" in answer.outputs:
        return answer.classifications()[0].verdict
    if "count" in answer.outputs:
        return f"{int(answer.outputs['count'][0])} faces"
    return "a drawing"


def agree(one: Prediction, other: Prediction) -> bool:
    """Whether two versions answer a picture alike: the same class or number of faces, or drawings
    that differ by less than `LEVELS` in the mean.
    """
    if "image" not in one.outputs:
        return in_words(one) == in_words(other)
    a, b = (np.asarray(p.output("image"), np.float32) for p in (one, other))
    return a.shape == b.shape and float(np.abs(a - b).mean()) < LEVELS
