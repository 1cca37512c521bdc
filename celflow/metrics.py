"""One meaning for each figure, whatever model it is of."""

from typing import Any

import numpy as np
from sklearn import metrics as sk


def accuracy(truth: np.ndarray, scores: np.ndarray) -> float:
    """Share of pictures whose best score is at the true class. truth: int [N], scores: [N, C]."""
    return float(np.mean(scores.argmax(axis=1) == truth))


def log_loss(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean negative log of the true class's score, in nats. truth: int [N], scores: [N, C]."""
    picked = scores[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.mean(np.log(np.clip(picked, 1e-7, 1))))


def confusion(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """int [C, C]: rows are the true classes, columns the answers."""
    return sk.confusion_matrix(truth, scores.argmax(axis=1), labels=range(scores.shape[1]))


def classification(truth: np.ndarray, scores: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """All figures of a classifier on one set of pictures.

    truth: int [N], index into `labels`; scores: float [N, C]. `balanced_accuracy` is the mean of
    the recalls of the classes that occur.
    """
    table = confusion(truth, scores)
    totals = table.sum(axis=1)
    recalls = {label: float(table[i, i] / totals[i]) for i, label in enumerate(labels) if totals[i]}
    return {
        "pictures": len(truth),
        "accuracy": accuracy(truth, scores),
        "balanced_accuracy": float(np.mean(list(recalls.values()))),
        "log_loss": log_loss(truth, scores),
        "recall": recalls,
    }
