"""Paired tests: is a candidate better than the champion on the same test pictures, or no worse?

Right or wrong of each picture: McNemar's exact test says `better` or `worse`, since only pictures
on which the two disagree tell anything, and Tango's score interval bounds the difference, since it
keeps its width where the two never disagree (McNemar 1947; Tango 1998, Statistics in Medicine
17:891). Balanced accuracy, a mean over classes, is bounded by the paired bootstrap, class by class.
Other metrics are of sets of pictures rather than means over them, and an answer is a whole picture:
they are measured without one group of pictures after the other (delete-a-group jackknife).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

ALPHA = 0.05  # of each one-sided test
Z = float(stats.norm.ppf(1 - ALPHA))
RESAMPLES = 1000

BETTER, NO_WORSE, WORSE = "better", "no worse", "worse"
UNKNOWN = "can't tell: too few pictures"


@dataclass(frozen=True)
class Comparison:
    """What a paired test says.

    answer: `BETTER`, `NO_WORSE` than by the margin, `WORSE` or `UNKNOWN`.
    difference: candidate minus champion, in the metric; low, high: its bounds, 95 % each.
    test: which one, in words, with its figures.
    """

    answer: str
    difference: float
    low: float
    high: float
    test: str


def of_answers(
    truth: np.ndarray, old: np.ndarray, new: np.ndarray, balanced: bool, margin: float
) -> Comparison:
    """Compare answers of classifiers, all int [N]: true classes, champion's, candidate's answers.

    balanced: whether balanced accuracy counts, and not accuracy.
    """
    right = np.stack([old == truth, new == truth])
    gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    apart = gained + lost
    p_better = float(stats.binom.sf(gained - 1, apart, 0.5))
    p_worse = float(stats.binom.sf(lost - 1, apart, 0.5))
    low = tango_low(gained, lost, len(truth))
    high = -tango_low(lost, gained, len(truth))
    difference = (gained - lost) / len(truth)
    test = f"McNemar: {gained} won, {lost} lost of {len(truth)}, p {min(p_better, p_worse):.3g}"
    if balanced:
        change = right[1].astype(float) - right[0]
        difference, boot_low, boot_high = _balanced(truth, change)
        # The bootstrap alone knows no doubt where the two never disagree.
        low, high = min(low, boot_low), max(high, boot_high)
    if p_better <= ALPHA and difference >= 0:
        answer = BETTER
    elif p_worse <= ALPHA or high < -margin:
        answer = WORSE
    else:
        answer = NO_WORSE if low >= -margin else UNKNOWN
    return Comparison(answer, difference, low, high, test)


def of_groups(
    old: float, new: float, old_without: Sequence[float], new_without: Sequence[float],
    margin: float,
) -> Comparison:  # fmt: skip
    """Compare any metric, larger is better: of all pictures, and without each group of them."""
    count = len(old_without)
    if count < 2:
        return Comparison(UNKNOWN, new - old, -np.inf, np.inf, "jackknife: too few pictures")
    apart = np.asarray(new_without) - np.asarray(old_without)
    error = sqrt((count - 1) / count * float(((apart - apart.mean()) ** 2).sum()))
    # Groups are few: 97.5 % a side, or three in fifty of equals would be called better.
    width = float(stats.t.ppf(1 - ALPHA / 2, count - 1)) * error
    difference = new - old
    low, high = difference - width, difference + width
    if low > 0:
        answer = BETTER
    elif high < 0:
        # Surely worse, and perhaps by no more than is allowed.
        answer = NO_WORSE if low >= -margin else WORSE
    else:
        answer = NO_WORSE if low >= -margin else UNKNOWN
    test = f"jackknife over {count} groups of pictures, standard error {error:.3g}"
    return Comparison(answer, difference, low, high, test)


def tango_low(gained: int, lost: int, count: int) -> float:
    """The lower 95 % bound of (gained - lost) / count, -1 to 1 (Tango 1998, eq. 8 and 24)."""

    def statistic(difference: float) -> float:
        b = -gained - lost + (2 * count - gained + lost) * difference
        c = -lost * difference * (1 - difference)
        q = (sqrt(max(b * b - 8 * count * c, 0)) - b) / (4 * count)
        variance = count * (2 * q + difference * (1 - difference))
        return (gained - lost - count * difference) / sqrt(max(variance, 1e-12))

    low, high = -1 + 1e-9, (gained - lost) / count
    for _ in range(60):  # bisection: the statistic falls as the difference grows
        middle = (low + high) / 2
        low, high = (middle, high) if statistic(middle) > Z else (low, middle)
    return low


def lost_recall(truth: np.ndarray, old: np.ndarray, new: np.ndarray) -> dict[int, float]:
    """Recall that each class lost, by class; one picture less of a class is nobody's proof."""
    found = {}
    for label in np.unique(truth):
        of_class = truth == label
        lost = int((old[of_class] == label).sum()) - int((new[of_class] == label).sum())
        if lost > 1:
            found[int(label)] = lost / int(of_class.sum())
    return found


def _balanced(truth: np.ndarray, change: np.ndarray) -> tuple[float, float, float]:
    """Change of balanced accuracy, and its bounds by the bootstrap of each class's pictures."""
    rng = np.random.default_rng(0)
    means, draws = [], []
    for label in np.unique(truth):
        of_class = change[truth == label]
        chosen = rng.integers(0, len(of_class), (RESAMPLES, len(of_class)))
        means.append(of_class.mean())
        draws.append(of_class[chosen].mean(axis=1))
    low, high = np.percentile(np.mean(draws, axis=0), (100 * ALPHA, 100 * (1 - ALPHA)))
    return float(np.mean(means)), float(low), float(high)
