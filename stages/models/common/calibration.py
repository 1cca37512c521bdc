"""From a model's raw scores to honest ones and a verdict, by the same rule for every model.

`train` keeps the raw scores of the validation pictures in models/<model>/validation.csv. From them
and from params.yaml follow temperature and thresholds, so that another threshold needs no training.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import beta

from celflow.params import UnsureConfig

if TYPE_CHECKING:
    from stages.models.common.model import Classifier

VALIDATION_FILE = "validation.csv"
MIN_EXAMPLES = 20  # validation pictures; fewer say nothing, and scores stay as they are
TEMPERATURES = (0.25, 4.0)
SCORE_MARGIN = 1e-7  # scores are kept this far from 0 and 1
CONFIDENCE = 0.95  # with which validation must prove the error rate


@dataclass(frozen=True)
class Calibration:
    """How raw scores become answers; as it stands, they are left alone.

    temperature: raw logits are divided by it.
    bias: is added to the first class's logit then, where there are two.
    low, high: of the first class's score, low <= 0.5 <= high; between the two a model is unsure.
    """

    temperature: float = 1.0
    bias: float = 0.0
    low: float = 0.5
    high: float = 0.5

    def scores(self, raw: np.ndarray) -> np.ndarray:
        """float32 [N, C], rows adding up to 1, of raw scores alike."""
        if self == Calibration():
            return raw
        return temperature_scale(raw, self.temperature, self.bias).astype(np.float32)

    def sure(self, scores: np.ndarray) -> np.ndarray:
        """bool [N]: whether the model stands by its best answer."""
        return (scores[:, 0] <= self.low) | (scores[:, 0] >= self.high)


def temperature_scale(scores: np.ndarray, temperature: float, bias: float = 0.0) -> np.ndarray:
    """softmax(log(scores) / temperature + bias of the first class), float64 [N, C].

    Guo et al. 2017, section 4.2; with two classes and a bias it is Platt's scaling (1999).
    """
    powers = np.clip(scores.astype(np.float64), SCORE_MARGIN, 1) ** (1 / temperature)
    powers[:, 0] *= np.exp(bias)
    return powers / powers.sum(axis=1, keepdims=True)


def platt(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Temperature, 0.25 to 4, and bias of least log loss, for two classes (Platt 1999).

    The target of a class with N pictures is (N + 1) / (N + 2), as in his section 2.2. Both classes
    count alike: how many pictures each has here says nothing of what will be asked.
    """
    counts = np.bincount(truth, minlength=2)
    target = (counts[truth] + 1) / (counts[truth] + 2)
    weights = 1 / counts[truth]

    def loss(values: np.ndarray) -> float:
        right = temperature_scale(scores, *values)[np.arange(len(truth)), truth]
        right = np.clip(right, SCORE_MARGIN, 1 - SCORE_MARGIN)
        losses = target * np.log(right) + (1 - target) * np.log(1 - right)
        return float(-np.average(losses, weights=weights))

    found = minimize(loss, [1.0, 0.0], method="Nelder-Mead", bounds=[TEMPERATURES, (-5, 5)]).x
    return round(float(found[0]), 4), round(float(found[1]), 4)


def best_temperature(truth: np.ndarray, scores: np.ndarray) -> float:
    """The temperature of least log loss, 0.25 to 4.

    The target is (N + 1) / (N + 2) instead of 1 (Platt 1999, section 2.2): N pictures without a
    mistake would else ask for boundless confidence.
    """
    target = (len(truth) + 1) / (len(truth) + 2)

    def loss(temperature: float) -> float:
        right = temperature_scale(scores, temperature)[np.arange(len(truth)), truth]
        right = np.clip(right, SCORE_MARGIN, 1 - SCORE_MARGIN)
        return float(-np.mean(target * np.log(right) + (1 - target) * np.log(1 - right)))

    found = minimize_scalar(loss, bounds=TEMPERATURES, method="bounded").x
    return round(float(found), 4)


def thresholds(truth: np.ndarray, scores: np.ndarray, config: UnsureConfig) -> tuple[float, float]:
    """The two thresholds of the first class's score between which a model of two is unsure.

    The narrowest band that proves the error rate: with 95 % confidence (Clopper and Pearson 1934)
    at most `config.max_error` of the decided pictures are wrong, as Geifman and El-Yaniv (2017)
    choose what to reject, but without their correction for the number of bands that are tried. Few
    pictures cannot prove a small rate. Then it is the band with the fewest errors, as wide as
    `config.max_share` allows: the share of validation pictures that may be unsure.
    """
    most = int(config.max_share * len(truth))
    first = scores[:, 0].astype(np.float64)
    sides = [(1 - first, first < 0.5, truth == 1), (first, first >= 0.5, truth == 0)]
    edges, unsure, errors = zip(*(_edges(c[here], right[here], most) for c, here, right in sides),
                                strict=True)  # fmt: skip
    all_unsure = unsure[0][:, None] + unsure[1]
    all_errors = errors[0][:, None] + errors[1]
    narrower = np.minimum(edges[0][:, None], edges[1])
    decided = len(truth) - all_unsure
    bound = beta.ppf(CONFIDENCE, all_errors + 1, np.maximum(decided - all_errors, 1e-9))
    allowed = all_unsure <= most
    proven = allowed & (bound <= config.max_error)
    if proven.any():
        order = np.lexsort([-narrower.ravel(), all_unsure.ravel(), ~proven.ravel()])
    else:
        order = np.lexsort([-narrower.ravel(), all_errors.ravel(), ~allowed.ravel()])
    below, above = np.unravel_index(order[0], allowed.shape)
    return 1 - float(edges[0][below]), float(edges[1][above])


def _edges(
    confidence: np.ndarray, right: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the band may end on one side, 0.5 to 1, and the unsure pictures and errors it leaves.

    confidence: float [N] of the pictures on this side; right: bool [N]. An edge lies in the middle
    of a gap between two pictures. Scores that agree to 4 digits are one, so that the served graph,
    which computes a little differently, decides alike.
    """
    ordered = np.unique(confidence.round(4))[: most + 1]
    padded = np.concatenate([[0.5], ordered, [1.0]])
    edges = np.minimum((padded[1:] + padded[:-1]) / 2, 1 - SCORE_MARGIN)[: most + 1]
    sure = confidence >= edges[:, None]
    return edges, np.sum(~sure, axis=1), np.sum(sure & ~right, axis=1)


def fit(
    truth: np.ndarray, raw: np.ndarray, unsure: UnsureConfig | None, biased: bool = False
) -> Calibration:
    """The calibration by validation pictures; `unsure` where the task knows that word.

    truth: int [N]; raw: float [N, C], as the model predicts them. biased: two classes may have a
    bias, too, which moves the border between them.
    """
    if len(truth) < MIN_EXAMPLES:
        return Calibration()
    if biased and raw.shape[1] == 2:
        scaled = Calibration(*platt(truth, raw))
    else:
        scaled = Calibration(best_temperature(truth, raw))
    if unsure is None:
        return scaled
    low, high = thresholds(truth, scaled.scores(raw), unsure)
    return replace(scaled, low=low, high=high)


def write_validation(folder: Path, truth: np.ndarray, raw: np.ndarray) -> None:
    """Keep in the model's folder what `load` needs: the truth, and a column a score."""
    table = pd.DataFrame(raw).assign(truth=truth)
    table.to_csv(folder / VALIDATION_FILE, index=False)


def read_validation(folder: Path) -> pd.DataFrame:
    """What `write_validation` kept, empty where it did not."""
    file = folder / VALIDATION_FILE
    return pd.read_csv(file) if file.is_file() else pd.DataFrame()


def load(model: "Classifier[Any]", folder: Path) -> Calibration:
    """The calibration of the model that was trained into `folder`.

    Where the model is not calibrated, scores are left alone.
    """
    table = read_validation(folder)
    if table.empty:
        return Calibration()
    truth = table.pop("truth").to_numpy()
    two_classes = model.params.task(model.name) == "cartoon_or_photo"
    unsure = model.params.evaluate.unsure if two_classes else None
    raw = table.to_numpy(np.float32)
    return fit(truth, raw, unsure, biased=not model.has_threshold)
