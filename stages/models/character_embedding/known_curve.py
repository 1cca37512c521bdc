"""When is a face of nobody known? A curve over the cosine to the nearest known character.

It is set by faces of known characters alone: asked as they are, and of a gallery without their own
character, for which they are of nobody known. A few faces of one's own say little of how far others
of the same characters may lie, so faces of characters that encoders like the released one had not
seen, of several styles, count beside them (left_out.csv).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

LEFT_OUT = Path(__file__).parent / "left_out.csv"
LEFT_OUT_FACES = (
    5  # as many faces of one's own as all of left_out.csv count as: on styles that were
)
# left out of it, the share of false alarms then strays least from the stated one (card.md)
SHOWN = (1, 5)  # faces of each character that were shown in left_out.csv


@dataclass(frozen=True)
class Asked:
    """Faces of known characters, and what a gallery finds.

    cosines: float32 [N, C], to its characters. truth: int [N], whose face it is.
    weight: as how many faces each counts.
    """

    cosines: np.ndarray
    truth: np.ndarray
    weight: float = 1.0

    @property
    def others(self) -> np.ndarray:
        """float32 [N]: the largest cosine to another character; -1 where there is no other."""
        cosines = self.cosines.copy()
        cosines[np.arange(len(cosines)), self.truth] = -1
        largest: np.ndarray = cosines.max(axis=1)
        return largest


def known_curve(
    asked: Sequence[Asked], sharpness: float, false_alarms: float
) -> tuple[float, float]:
    """Slope and threshold of a gallery's curve.

    Slope: by logistic regression. Threshold: such that a share `false_alarms` of new faces of the
    known characters is answered with "unknown". That is where 1 - known exceeds known * (share of
    the best name), `Gallery.scores`; and of n faces the k-th smallest value lies above a share
    k / (n + 1) of all, on average (Weibull).

    asked: at least one face. sharpness: of the gallery.
    """
    best = [one.cosines.max(axis=1) for one in asked]
    nearest = np.concatenate(best + [one.others for one in asked])
    weights = np.concatenate([np.full(len(one.truth), one.weight) for one in asked])
    is_known = np.repeat([1, 0], len(weights))
    curve = LogisticRegression(C=1e3).fit(nearest[:, None], is_known, np.tile(weights, 2))
    slope = max(1.0, float(curve.coef_[0, 0]))
    shares = [
        1 / np.exp(sharpness * (one.cosines - largest[:, None])).sum(axis=1)
        for one, largest in zip(asked, best, strict=True)
    ]
    turning = np.concatenate(best) + np.log(np.concatenate(shares)) / slope
    order = turning.argsort()
    below = weights[order].cumsum() / (weights.sum() + 1)
    return slope, float(np.interp(false_alarms, below, turning[order]))


def without_itself(encodings: np.ndarray, truth: np.ndarray) -> Asked:
    """Encodings [N, D] that a gallery was made of, asked of that gallery made without them.

    Those that are the only ones of their character are left out.
    """
    sums = np.stack([encodings[truth == c].sum(axis=0) for c in range(truth.max() + 1)])
    cosines = encodings @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T
    rest = sums[truth] - encodings
    length = np.maximum(np.linalg.norm(rest, axis=1), 1e-6)
    cosines[np.arange(len(truth)), truth] = np.sum(rest * encodings, axis=1) / length
    kept = np.bincount(truth)[truth] > 1
    return Asked(cosines[kept].astype(np.float32), truth[kept])


def left_out(faces: float) -> Asked:
    """left_out.csv: the cosines to the own character, and to the nearest other.

    faces: of a character that the gallery is made of; the rows of a like number count.
    """
    rows = pd.read_csv(LEFT_OUT)
    rows = rows[rows["shown"] == min(SHOWN, key=lambda shown: abs(shown - faces))]
    cosines = rows[["own", "other"]].to_numpy(np.float32)
    return Asked(cosines, np.zeros(len(rows), int), LEFT_OUT_FACES / len(rows))
