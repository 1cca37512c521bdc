"""Measure one model on pictures it never saw: `python -m stages.evaluate MODEL`.

Reads models/<model>/ and the test part of data/split/<task>.csv. Writes metrics/<model>.json,
plots/test/<model>/ (curves, and a sheet of the worst mistakes), and the same to MLflow. Classifiers
are measured by their calibrated scores, as the served model answers them; picture models measure
themselves, and their sheet shows what they draw.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import mlflow
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from PIL import Image

from celflow import errors, images, metrics, registry
from celflow.files import atomic_dir, write_bytes, write_json
from celflow.params import CLASSIFY, Params, load
from celflow import manifest
from stages import models
from celflow.manifest import Split, Examples
from stages.models import calibration

PRINTED = (
    "accuracy", "balanced_accuracy", "log_loss", "ece",
    "psnr", "ssim", "style_gain", "content_distance",
)  # fmt: skip
SHEET = "sheet.png"


def run(model: str, params: Params) -> None:
    """Measure `model` on the test pictures."""
    splits = manifest.read(params.pictures(model))
    run_id = json.loads(Path(f"runs/{model}.json").read_text())["run_id"]
    with atomic_dir(Path("plots/test") / model) as folder, registry.run(model, run_id):
        if params.task(model) in CLASSIFY:
            figures = classifier(model, params, splits, folder)
        else:
            figures = picture_model(model, params, splits, folder)
        single = {name: value for name, value in figures.items() if isinstance(value, float)}
        mlflow.log_metrics({f"test_{name}": value for name, value in single.items()})
        mlflow.log_dict(figures, "test.json")
        mlflow.log_artifact(str(folder / SHEET))
    write_json(Path(f"metrics/{model}.json"), figures)
    printed = [name for name in PRINTED if name in figures]
    print(f"{model}: " + ", ".join(f"{name} {figures[name]:.4f}" for name in printed))


def picture_model(
    model: str, params: Params, splits: dict[Split, Examples], folder: Path
) -> dict[str, Any]:
    """A picture model's figures; its sheet goes into `folder`."""
    family = models.picture_family(model)
    figures, sheet = family.measure(family.painter(Path("models") / model), params, splits)
    write_bytes(folder / SHEET, images.encode_png(sheet))
    return figures


def classifier(
    model: str, params: Params, splits: dict[Split, Examples], folder: Path
) -> dict[str, Any]:
    """A classifier's figures; its curves and the sheet of its mistakes go into `folder`."""
    test, strangers = splits["test"], splits["unknown"]
    calibrated = calibration.load(model, params)
    scores = calibration.predict(model, test.paths, calibrated)
    figures = metrics.classification(test.truth, scores, test.labels)
    figures["temperature"], figures["bias"] = calibrated.temperature, calibrated.bias
    if params.task(model) == "cartoon_or_photo":
        figures["unsure_low"], figures["unsure_high"] = calibrated.low, calibrated.high
        figures |= metrics.decided(test.truth, scores, calibrated.sure(scores))
    if len(strangers) and scores.shape[1] > len(test.labels):
        figures |= metrics.unknown(scores, calibration.predict(model, strangers.paths, calibrated))

    curves = plots(test, scores)
    for kind, table in curves.items():
        text = table.to_csv(index=False, float_format="%.6g")
        write_bytes(folder / f"{kind}.csv", text.encode())
    mistakes_sheet(test, scores, params.evaluate.mistakes, folder / SHEET)
    names = metrics.answers(test.labels, scores)
    for figure, file_name in (
        (confusion_figure(metrics.confusion(test.truth, scores), names), "confusion.png"),
        (curves_figure(curves), "curves.png"),
    ):
        mlflow.log_figure(figure, file_name)
        plt.close(figure)
    return figures


def plots(test: Examples, scores: np.ndarray) -> dict[str, pd.DataFrame]:
    """The tables behind the plots, by kind."""
    names = np.array(metrics.answers(test.labels, scores))
    truth = test.truth
    return {
        "confusion": pd.DataFrame(
            {"actual": names[truth], "predicted": names[scores.argmax(axis=1)]}
        ),
        "roc": metrics.roc(truth, scores, test.labels),
        "pr": metrics.precision_recall(truth, scores, test.labels),
        "reliability": metrics.reliability(truth, scores),
    }


def curves_figure(curves: dict[str, pd.DataFrame]) -> plt.Figure:
    """ROC, precision-recall and reliability side by side."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    for axis, kind in zip(axes, ("roc", "pr", "reliability"), strict=True):
        x, y = curves[kind].columns[:2]
        axis.plot(curves[kind][x], curves[kind][y], marker=".")
        axis.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "), xlim=(0, 1), ylim=(0, 1))
    axes[2].plot([0, 1], [0, 1], linestyle=":", color="grey")
    return figure


def confusion_figure(table: np.ndarray, labels: list[str]) -> plt.Figure:
    """The confusion matrix, int [C, C], as a picture."""
    side = 2.5 + 0.4 * len(labels)
    figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(table, cmap="Blues")
    axes.set(xlabel="answer", ylabel="truth")
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    for (row, column), count in np.ndenumerate(table):
        if count:
            colour = "white" if count > table.max() / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return figure


def mistakes_sheet(
    test: Examples, scores: np.ndarray, most: int, file: Path, columns: int = 6
) -> None:
    """Write a sheet of the wrong answers, the surest first, as a PNG."""
    names = metrics.answers(test.labels, scores)
    wrong = np.flatnonzero(scores.argmax(axis=1) != test.truth)
    worst = wrong[np.argsort(-scores.max(axis=1)[wrong], kind="stable")][:most]
    rows = max(1, -(-len(worst) // columns))
    figure, axes = plt.subplots(
        rows, columns, figsize=(2 * columns, 2.5 * rows), layout="constrained", squeeze=False
    )
    figure.suptitle(f"{len(wrong)} of {len(test)} test pictures wrong")
    for axis in axes.flat:
        axis.axis("off")
    for axis, index in zip(axes.flat, worst, strict=False):
        with Image.open(test.paths[index]) as picture:
            picture.thumbnail((256, 256))
            axis.imshow(picture)
        best = scores[index].argmax()
        axis.set_title(
            f"{names[test.truth[index]]}\ntaken for {names[best]} ({scores[index, best]:.0%})",
            fontsize=8,
        )
    # No date or version in the file, so that the same mistakes make the same bytes.
    figure.savefig(file, dpi=80, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
