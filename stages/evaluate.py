"""Measure one model on pictures it never saw: `python -m stages.evaluate MODEL`.

Reads models/<model>/ and the test part of data/split/<task>.csv. Writes metrics/<model>.json,
plots/confusion/<model>.csv, plots/mistakes/<model>.png (worst mistakes), and the same to MLflow.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import mlflow
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from PIL import Image

from celflow import errors, metrics, registry
from celflow.files import write_bytes, write_json
from celflow.params import Params, load
from stages import manifest, models

FIGURES = ("accuracy", "balanced_accuracy", "log_loss")


def run(model: str, params: Params) -> None:
    """Measure `model` on the test pictures."""
    test = manifest.read(params.task(model))["test"]
    scores = models.family(model).predict(Path("models") / model, test.paths)
    figures = metrics.classification(test.truth, scores, test.labels)

    write_json(Path(f"metrics/{model}.json"), figures)
    names = np.array(test.labels)
    answers = pd.DataFrame({"actual": names[test.truth], "predicted": names[scores.argmax(axis=1)]})
    confusion_file = Path(f"plots/confusion/{model}.csv")
    write_bytes(confusion_file, answers.to_csv(index=False).encode())
    sheet_file = Path(f"plots/mistakes/{model}.png")
    sheet_file.parent.mkdir(parents=True, exist_ok=True)
    mistakes_sheet(test, scores, params.evaluate.mistakes, sheet_file)

    run_id = json.loads(Path(f"runs/{model}.json").read_text())["run_id"]
    with registry.run(model, run_id):
        mlflow.log_metrics({f"test_{name}": figures[name] for name in FIGURES})
        mlflow.log_dict(figures, "test.json")
        mlflow.log_artifact(str(sheet_file))
        figure = confusion_figure(metrics.confusion(test.truth, scores), test.labels)
        mlflow.log_figure(figure, "confusion.png")
        plt.close(figure)
    print(f"{model}: " + ", ".join(f"{name} {figures[name]:.4f}" for name in FIGURES))


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
    test: manifest.Pictures, scores: np.ndarray, most: int, file: Path, columns: int = 6
) -> None:
    """Write a sheet of the wrong answers, the surest first, as a PNG."""
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
            f"{test.labels[test.truth[index]]}\n"
            f"taken for {test.labels[best]} ({scores[index, best]:.0%})",
            fontsize=8,
        )
    # No date or version in the file, so that the same mistakes make the same bytes.
    figure.savefig(file, dpi=80, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
