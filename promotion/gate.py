"""The gate before promotion: champion and challenger measured on the same pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from celflow import images, metrics, registry
from celflow.params import CLASSIFICATION_TASKS, Params
from celflow.pyfunc import SavedModelFunc
from celflow import manifest
from stages import models
from stages.register import test_hash


@dataclass(frozen=True)
class Verdict:
    """Whether a version may become champion, and the figures that say so."""

    passed: bool
    words: str


def compare(
    champion: registry.RegisteredVersion | None, candidate: registry.RegisteredVersion, params: Params
) -> Verdict:
    """Compare on the test pictures of today.

    Figures of a run count where they were taken on those pictures; otherwise the version is
    measured again.
    """
    if champion is None or champion.version == candidate.version:
        return Verdict(True, "no other champion")
    figure = getattr(params.registry.gate, params.task(candidate.model))
    now = test_hash(params.dataset(candidate.model))
    ours, theirs = (_figure(v, figure, now, params) for v in (candidate, champion))
    words = (
        f"{figure} {ours:.4f} against {theirs:.4f} of champion {champion.version}, "
        f"tolerance {params.registry.tolerance:g}, test {now[:8]}"
    )
    return Verdict(ours >= theirs - params.registry.tolerance, words)


def _figure(version: registry.RegisteredVersion, name: str, now: str, params: Params) -> float:
    if version.tags.get("test_hash") == now and name in version.metrics:
        return version.metrics[name]
    return measure(version, params)[name]


def measure(version: registry.RegisteredVersion, params: Params) -> dict[str, float]:
    """The figures of a registered version on the test pictures of today."""
    splits = manifest.read(params.dataset(version.model))
    test = splits["test"]
    with registry.saved_model(version) as folder:
        model = SavedModelFunc(folder)
        if params.task(version.model) not in CLASSIFICATION_TASKS:

            def draw(pixels: np.ndarray) -> np.ndarray:
                asked = pd.DataFrame({"image_bytes": [images.encode_png(pixels)]})
                return images.open_image(model.predict(asked)["image_png"][0]).pixels

            return models.picture_family(version.model).measure(draw, params, splits)[0]
        batches = [
            model.predict(
                pd.DataFrame({"image_bytes": [Path(path).read_bytes() for path in paths]})
            )
            for paths in (test.paths[i : i + 16] for i in range(0, len(test), 16))
        ]
    answered = pd.concat(batches)
    # A class that this version never learned scores 0; a name that is none of the test's (enrolled
    # since, or "unknown") is a wrong answer for every picture there.
    scores = answered.reindex(columns=test.labels, fill_value=0.0)
    others = answered.drop(columns=test.labels, errors="ignore")
    if len(others.columns):
        scores[metrics.UNKNOWN] = others.sum(axis=1)
    return metrics.classification(test.truth, scores.to_numpy(np.float32), test.labels)
