"""Measure one model on pictures it never saw: `python -m stages.evaluate MODEL`.

Reads models/<model>/ and the test split of data/split/<dataset>.csv. Writes metrics/<model>.json,
plots/test/<model>/*.png (a sheet of the worst mistakes, or of results, and curves), and the same to
MLflow. Classifiers are measured by their calibrated scores, as the served model answers them.
Without test pictures the metrics are `{"pictures": 0}`, there is no plot, and MLflow gets nothing.
"""

import json
import sys
from pathlib import Path
from typing import Any

import mlflow

from celflow import errors, manifest, tracking
from celflow.files import atomic_dir, write_bytes, write_json
from celflow.params import Params, load
from stages import no_pictures
from stages.models.common import table

DIGITS = 4  # of the metrics that git tracks: sums of floats differ from processor to processor
PRINTED = (
    "accuracy", "balanced_accuracy", "log_loss", "ece",
    "psnr", "ssim", "cartoon_score", "content_distance", "recall", "precision",
)  # fmt: skip


def run(name: str, params: Params) -> None:
    """Measure the model `name` on the test pictures."""
    metrics, plots = Path(f"metrics/{name}.json"), Path("plots/test") / name
    if no_pictures.skips(name, params, metrics, plots):
        return
    model = table.create(name, params)
    splits = manifest.read(params.dataset(name))
    if not len(splits["test"]):
        _write_unmeasured(name, metrics, plots)
        return
    folder = Path("models") / name
    report = model.measure(model.predictor(folder), splits)
    fit = json.loads((folder / "fit.json").read_text())
    with atomic_dir(plots) as beside, tracking.run_of_fit(name, fit["fit_key"]):
        for title, png in report.draw().items():
            write_bytes(beside / f"{title}.png", png)
        single = {key: value for key, value in report.metrics.items() if isinstance(value, float)}
        mlflow.log_metrics({f"test_{key}": value for key, value in single.items()})
        mlflow.log_dict(report.metrics, "test.json")
        mlflow.log_artifacts(str(beside))
    write_json(metrics, rounded(report.metrics))
    printed = [key for key in PRINTED if key in single]  # of classifiers, recall is a dictionary
    print(f"{name}: " + ", ".join(f"{key} {report.metrics[key]:.4f}" for key in printed))


def _write_unmeasured(name: str, metrics: Path, plots: Path) -> None:
    """What DVC expects, where there is nothing to measure on."""
    write_json(metrics, {"pictures": 0})
    with atomic_dir(plots):
        pass
    print(
        f"{name}: not measured, since no picture is kept for the test (split.test in params.yaml "
        "is 0); how good it is, and whether a later version is better, can't be told"
    )


def rounded(value: Any) -> Any:
    """Metrics with floats of `DIGITS` decimals, dictionaries within dictionaries alike."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return round(value, DIGITS) if isinstance(value, float) else value


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
