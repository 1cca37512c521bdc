"""The gate before promotion: champion and candidate measured on the same test pictures."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from celflow import images, lineage, manifest, metrics, registry
from celflow.errors import UserError
from celflow.manifest import Examples
from celflow.params import CLASSIFICATION_TASKS, Params
from celflow.pyfunc import SavedModelFunc
from stages.models.common import table

BATCH = 16  # pictures a request to a classifier


class NoTestPictures(UserError):
    """A dataset has no test split."""


@dataclass(frozen=True)
class Verdict:
    """Whether a version may become champion, and the comparison behind it, in words."""

    passed: bool
    reason: str


def compare(
    champion: registry.RegisteredVersion | None,
    candidate: registry.RegisteredVersion,
    params: Params,
) -> Verdict:
    """Compare both by the task's metric (`registry.gate` in params.yaml) on the current test set.

    A metric that was logged on exactly this test set counts; otherwise the version is measured
    again. Without test pictures nothing can be compared, and no version passes.
    """
    if champion is None or champion.version == candidate.version:
        return Verdict(True, "there is no other champion")
    metric = getattr(params.registry.gate, params.task(candidate.model))
    digest = lineage.test_hash(params.dataset(candidate.model))
    try:
        new, old = (_metric(version, metric, digest, params) for version in (candidate, champion))
    except NoTestPictures as error:
        return Verdict(False, f"no {metric} to compare by: {error}")
    reason = (
        f"{metric} {new:.4f}, champion {champion.version} has {old:.4f}, "
        f"tolerance {params.registry.tolerance:g}, test set {digest[:8]}"
    )
    return Verdict(new >= old - params.registry.tolerance, reason)


def measure(version: registry.RegisteredVersion, params: Params) -> dict[str, Any]:
    """The metrics of a registered version on the current test set, by name.

    Raises:
        NoTestPictures: there is none.
    """
    dataset = params.dataset(version.model)
    if not len(manifest.read(dataset)["test"]):
        raise NoTestPictures(f"{dataset} has no test pictures (split.test in params.yaml)")
    with registry.saved_model(version) as folder:
        model = SavedModelFunc(folder)
        if params.task(version.model) in CLASSIFICATION_TASKS:
            return _measure_classifier(model, manifest.read(params.dataset(version.model))["test"])
        answer = _faces if params.task(version.model) == "faces" else _drawing
        measured = table.create(version.model, params)
        splits = manifest.read(params.dataset(version.model))
        return measured.measure(partial(answer, model), splits).metrics


def _metric(version: registry.RegisteredVersion, metric: str, digest: str, params: Params) -> float:
    if version.tags.get("test_hash") == digest and metric in version.metrics:
        return version.metrics[metric]
    return float(measure(version, params)[metric])


def _measure_classifier(model: SavedModelFunc, test: Examples) -> dict[str, Any]:
    answers = pd.concat(
        model.predict(_request([Path(path).read_bytes() for path in test.paths[i : i + BATCH]]))
        for i in range(0, len(test), BATCH)
    )
    # A class that this version never learned scores 0; a name that is none of the test set's
    # (enrolled since, or "unknown") is a wrong answer for every picture of it.
    scores = answers.reindex(columns=test.labels, fill_value=0.0)
    others = answers.drop(columns=test.labels, errors="ignore")
    if len(others.columns):
        scores[metrics.UNKNOWN] = others.sum(axis=1)
    return metrics.classification(test.truth, scores.to_numpy(np.float32), test.labels)


def _drawing(model: SavedModelFunc, pixels: np.ndarray) -> np.ndarray:
    """What an image model draws of uint8 [H, W, 3]."""
    answer = model.predict(_request([images.encode_png(pixels)]))
    return images.open_image(answer["image_png"][0]).pixels


def _faces(model: SavedModelFunc, pixels: np.ndarray) -> np.ndarray:
    """What a face detector finds in uint8 [H, W, 3]: float32 [K, 5], boxes and scores."""
    answer = model.predict(_request([images.encode_png(pixels)]))
    return np.column_stack([answer["boxes"][0], answer["scores"][0]])


def _request(pictures: list[bytes]) -> pd.DataFrame:
    return pd.DataFrame({"image_bytes": pictures})
