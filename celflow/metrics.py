"""One meaning for each metric, whatever model it is of.

`truth` is int [N], an index into `labels`; `scores` is float [N, C], rows adding up to 1. Scores
may have one column more than there are labels: the last is then "unknown", and a wrong answer for a
picture of a known class.
"""

from typing import Any

import cv2
import numpy as np
import pandas as pd
from skimage.metrics import structural_similarity
from sklearn import metrics as sk

UNKNOWN = "unknown"  # the answer of a model that knows that it knows nobody
UNSURE = "unsure"  # the verdict of a model that stands by neither class
BINS = 15  # of Guo et al. 2017
RESAMPLES = 1000
CURVE_POINTS = 200
MAX_PSNR = 60.0  # dB, which pictures without a difference count as, so that means stay finite
CANNY = (100, 200)  # thresholds on the gradient of 8-bit values


def answers(labels: list[str], scores: np.ndarray) -> list[str]:
    """What a model can answer, a name a column of `scores`."""
    return [*labels, UNKNOWN][: scores.shape[1]]


def accuracy(truth: np.ndarray, scores: np.ndarray) -> float:
    """Share of pictures whose best score is at the true class, 0 to 1."""
    return float(np.mean(scores.argmax(axis=1) == truth))


def balanced_accuracy(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean recall of the classes that occur, 0 to 1."""
    return float(np.nanmean(recalls(truth, scores)))


def recalls(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """float [C]: share of each class's pictures that are recognised, NaN where it has none."""
    table = confusion(truth, scores)
    with np.errstate(invalid="ignore"):
        shares: np.ndarray = table.diagonal() / table.sum(axis=1)
        return shares


def confusion(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """int [C, C]: rows are the true classes, columns the answers."""
    answered, classes = scores.argmax(axis=1), range(scores.shape[1])
    table: np.ndarray = sk.confusion_matrix(truth, answered, labels=classes)
    return table


def log_loss(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean negative log of the true class's score, in nats."""
    picked = scores[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.mean(np.log(np.clip(picked, 1e-7, 1))))


def reliability(truth: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """How often the best score is right: a row for each bin that has pictures.

    Bins of equal width over 0 to 1 (Guo et al. 2017, section 2). Columns: `confidence` (mean best
    score), `accuracy` (share that is right), `pictures`.
    """
    best = scores.max(axis=1).astype(np.float64)
    bins = np.clip(np.ceil(best * BINS).astype(int) - 1, 0, BINS - 1)
    table = pd.DataFrame({"confidence": best, "accuracy": scores.argmax(axis=1) == truth})
    grouped = table.groupby(bins)
    return grouped.mean().assign(pictures=grouped.size()).reset_index(drop=True)


def expected_calibration_error(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over the bins, 0 to 1 (Guo et al. 2017, eq. 3)."""
    table = reliability(truth, scores)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float(np.average(gaps, weights=table["pictures"]))


def intervals(truth: np.ndarray, scores: np.ndarray, seed: int = 0) -> dict[str, float]:
    """95 % intervals of accuracy and balanced accuracy, by the percentile bootstrap.

    Pictures are drawn again with replacement (Efron 1979), not class by class; a class that a draw
    lacks keeps its recall. Without a single mistake the interval has no width: it then says little.
    """
    count = len(truth)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    right = scores.argmax(axis=1) == truth
    classes = np.eye(scores.shape[1])[truth]
    totals = draws @ classes
    whole = recalls(truth, scores)
    hits = draws @ (classes * right[:, None])
    again = np.where(totals > 0, hits / np.maximum(totals, 1), whole)
    drawn = {"accuracy": draws @ right / count, "balanced_accuracy": np.nanmean(again, axis=1)}
    return {
        f"{name}_{side}": float(value)
        for name, values in drawn.items()
        for side, value in zip(("low", "high"), np.percentile(values, (2.5, 97.5)), strict=True)
    }


def ranking(truth: np.ndarray, scores: np.ndarray, labels: list[str]) -> dict[str, float]:
    """How well scores rank: area under the ROC curve, and average precision.

    Of two classes, the first one's (`cartoon`); of more, the mean over the classes that occur, each
    against the rest. Empty where one class is all there is.
    """
    pairs = _one_vs_rest(truth, scores, labels)
    if not pairs:
        return {}
    return {
        "auroc": float(np.mean([sk.roc_auc_score(*pair) for pair in pairs])),
        "average_precision": float(np.mean([sk.average_precision_score(*pair) for pair in pairs])),
    }


def roc(truth: np.ndarray, scores: np.ndarray, labels: list[str]) -> pd.DataFrame:
    """The ROC curve, in at most 200 points: `false_positive_rate`, `true_positive_rate`.

    Of two classes, the first one's; of more, all pictures against all classes (micro-average).
    """
    pairs = _one_vs_rest(truth, scores, labels)
    if not pairs:
        return pd.DataFrame(columns=["false_positive_rate", "true_positive_rate"])
    false, true, _ = sk.roc_curve(*map(np.concatenate, zip(*pairs, strict=True)))
    return _thinned({"false_positive_rate": false, "true_positive_rate": true})


def precision_recall(truth: np.ndarray, scores: np.ndarray, labels: list[str]) -> pd.DataFrame:
    """The precision-recall curve, in at most 200 points: `recall`, `precision`.

    Of the same classes as `roc`.
    """
    pairs = _one_vs_rest(truth, scores, labels)
    if not pairs:
        return pd.DataFrame(columns=["recall", "precision"])
    precision, recall, _ = sk.precision_recall_curve(*map(np.concatenate, zip(*pairs, strict=True)))
    return _thinned({"recall": recall, "precision": precision})


def selective(truth: np.ndarray, scores: np.ndarray, sure: np.ndarray) -> dict[str, float]:
    """Share of pictures left unsure, and the metrics of those that are not (selective
    classification, Geifman and El-Yaniv 2017).

    sure: bool [N]. Where no picture is sure there is but the share.
    """
    measured = {"unsure_share": float(np.mean(~sure))}
    if sure.any():
        measured["decided_accuracy"] = accuracy(truth[sure], scores[sure])
        measured["decided_balanced_accuracy"] = balanced_accuracy(truth[sure], scores[sure])
    return measured


def classification(truth: np.ndarray, scores: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """All metrics of a classifier on one set of pictures.

    Where it may answer "unknown", `known_accuracy` is what it would reach without that word.
    """
    recall = zip(answers(labels, scores), recalls(truth, scores).tolist(), strict=True)
    named = scores[:, : len(labels)]
    only = {"known_accuracy": accuracy(truth, named)} if len(labels) < scores.shape[1] else {}
    return {
        **only,
        "pictures": len(truth),
        "accuracy": accuracy(truth, scores),
        "balanced_accuracy": balanced_accuracy(truth, scores),
        **intervals(truth, scores),
        "log_loss": log_loss(truth, scores),
        "ece": expected_calibration_error(truth, scores),
        **ranking(truth, scores, labels),
        "recall": {name: value for name, value in recall if not np.isnan(value)},
    }


def unknown(known: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """How well the last column, "unknown", tells pictures of held-out classes from known ones.

    known: scores [N, C + 1]; held_out: [M, C + 1].
    """
    truth = np.repeat([0, 1], [len(known), len(held_out)])
    scores = np.concatenate([known, held_out])
    return {
        "unknown_auroc": float(sk.roc_auc_score(truth, scores[:, -1])),
        "unknown_recall": float(np.mean(held_out.argmax(axis=1) == held_out.shape[1] - 1)),
    }


def image_quality(true: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    """How near generated pictures come to the true ones: means over the pictures of

    - `l1`: mean absolute difference, 0 to 1;
    - `psnr`: peak signal-to-noise ratio, dB, of each picture's own mean squared error;
    - `ssim`: structural similarity in windows of 7 x 7 (Wang et al. 2004), up to 1;
    - `edge_f1`: see there.

    true, ours: uint8 [N, H, W], sides of 7 or more.
    """
    each = [_image_quality(a, b) for a, b in zip(true, ours, strict=True)]
    return {name: float(np.mean([measured[name] for measured in each])) for name in each[0]}


def edge_f1(true: np.ndarray, ours: np.ndarray) -> float:
    """Harmonic mean of the edges' precision and recall, 0 to 1, of two uint8 [H, W].

    Edges are Canny's. One of ours is right, and a true one is found, if the other picture has an
    edge at that pixel or one of its eight neighbours: the boundary F-measure of Martin, Fowlkes and
    Malik (2004) with a pixel of tolerance and without one-to-one matching. 1 where neither has
    edges, 0 where only one has.
    """
    edges = [cv2.Canny(pixels, *CANNY) > 0 for pixels in (true, ours)]
    if not (edges[0].any() and edges[1].any()):
        return float(not (edges[0].any() or edges[1].any()))
    near = [cv2.dilate(e.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for e in edges]
    precision, recall = near[0][edges[1]].mean(), near[1][edges[0]].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _image_quality(true: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    apart = (true.astype(np.float64) - ours) / 255
    psnr = -10 * np.log10(max(np.mean(apart**2), 10 ** (-MAX_PSNR / 10)))
    return {
        "l1": float(np.abs(apart).mean()),
        "psnr": float(psnr),
        "ssim": float(structural_similarity(true, ours, data_range=255)),
        "edge_f1": edge_f1(true, ours),
    }


def _one_vs_rest(
    truth: np.ndarray, scores: np.ndarray, labels: list[str]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each class with a curve: whether a picture is of it, bool [N], and its score, [N]."""
    classes = range(1 if len(labels) == 2 else len(labels))
    occurring = [c for c in classes if 0 < np.sum(truth == c) < len(truth)]
    return [(truth == c, scores[:, c]) for c in occurring]


def _thinned(curve: dict[str, np.ndarray]) -> pd.DataFrame:
    table = pd.DataFrame(curve)
    if len(table) <= CURVE_POINTS:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, CURVE_POINTS).round().astype(int)]
