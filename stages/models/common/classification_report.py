"""Pictures that show how a classifier did: confusion matrix, curves, worst mistakes."""

import io

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from celflow import metrics
from celflow.manifest import Examples


def draw(test: Examples, scores: np.ndarray, mistakes: int) -> dict[str, bytes]:
    """`confusion`, `curves` and `sheet` (of the worst mistakes) as PNG bytes.

    scores: float [N, C], of the test examples. mistakes: shown at most.
    """
    names = metrics.answers(test.labels, scores)
    return {
        "confusion": png(confusion_figure(metrics.confusion(test.truth, scores), names)),
        "curves": png(curves_figure(curves(test, scores))),
        "sheet": png(mistakes_sheet(test, scores, mistakes)),
    }


def png(figure: Figure) -> bytes:
    """PNG bytes of a figure, which is closed.

    No date or version in the file, so that the same results make the same bytes.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=80, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def curves(test: Examples, scores: np.ndarray) -> dict[str, pd.DataFrame]:
    """The tables behind the curves, by kind."""
    return {
        "roc": metrics.roc(test.truth, scores, test.labels),
        "pr": metrics.precision_recall(test.truth, scores, test.labels),
        "reliability": metrics.reliability(test.truth, scores),
    }


def curves_figure(curves: dict[str, pd.DataFrame]) -> Figure:
    """ROC, precision-recall and reliability side by side."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    for axis, kind in zip(axes, ("roc", "pr", "reliability"), strict=True):
        x, y = curves[kind].columns[:2]
        axis.plot(curves[kind][x], curves[kind][y], marker=".")
        axis.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "), xlim=(0, 1), ylim=(0, 1))
    axes[2].plot([0, 1], [0, 1], linestyle=":", color="grey")
    return figure


def confusion_figure(table: np.ndarray, labels: list[str]) -> Figure:
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


def mistakes_sheet(test: Examples, scores: np.ndarray, count: int, columns: int = 6) -> Figure:
    """A sheet of the wrong answers, the surest first, `count` of them at most."""
    names = metrics.answers(test.labels, scores)
    wrong = np.flatnonzero(scores.argmax(axis=1) != test.truth)
    worst = wrong[np.argsort(-scores.max(axis=1)[wrong], kind="stable")][:count]
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
    return figure
