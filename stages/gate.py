"""The gate before promotion: champion and challenger measured on the same pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from celflow import metrics, registry
from celflow.params import Params
from celflow.pyfunc import SavedModelFunc
from stages import manifest
from stages.register import test_hash


@dataclass(frozen=True)
class Verdict:
    """Whether a version may become champion, and the figures that say so."""

    passed: bool
    words: str


def compare(
    champion: registry.Version | None, candidate: registry.Version, params: Params
) -> Verdict:
    """Compare on the test pictures of today.

    Figures of a run count where they were taken on those pictures; otherwise the version is
    measured again.
    """
    if champion is None or champion.version == candidate.version:
        return Verdict(True, "no other champion")
    figure = params.registry.gate
    now = test_hash(params.task(candidate.model))
    ours, theirs = (_figure(v, figure, now) for v in (candidate, champion))
    words = (
        f"{figure} {ours:.4f} against {theirs:.4f} of champion {champion.version}, "
        f"tolerance {params.registry.tolerance:g}, test {now[:8]}"
    )
    return Verdict(ours >= theirs - params.registry.tolerance, words)


def _figure(version: registry.Version, name: str, now: str) -> float:
    if version.tags.get("test_hash") == now and name in version.metrics:
        return version.metrics[name]
    return measure(version)[name]


def measure(version: registry.Version) -> dict[str, float]:
    """The figures of a registered version on the test pictures of today."""
    test = manifest.read(version.tags["task"])["test"]
    with registry.saved_model(version) as folder:
        model = SavedModelFunc(folder)
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
