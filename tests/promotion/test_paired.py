"""The paired tests, checked on themselves: equals, and versions that somebody spoilt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion import paired

MARGIN = 0.05


def answers(rng: np.random.Generator, truth: np.ndarray, share: float, classes: int) -> np.ndarray:
    """Answers of which a share is right; half of the pictures are easy for everybody."""
    easy = np.arange(len(truth)) % 2 == 0
    right = easy | (rng.random(len(truth)) < 2 * share - 1)
    return np.where(right, truth, (truth + rng.integers(1, classes, len(truth))) % classes)


@pytest.mark.parametrize(("pictures", "classes"), [(16, 2), (60, 2), (48, 8), (400, 4)])
def test_a_thousand_gates_of_equals_call_five_in_a_hundred_better_at_most(pictures, classes):
    rng = np.random.default_rng(pictures)
    truth = np.arange(pictures) % classes
    scores = [answers(rng, truth, 0.85, classes) for _ in range(2)]
    better = {True: 0, False: 0}
    for number in range(1000):
        # Other pictures of the same kind each time; which of the two is the champion is chance.
        drawn = rng.integers(0, pictures, pictures) if number % 2 else np.arange(pictures)
        old, new = (answers(rng, truth[drawn], 0.85, classes) for _ in scores)
        balanced = bool(number % 4 < 2)
        found = paired.of_answers(truth[drawn], old, new, balanced, MARGIN)
        better[balanced] += found.answer == paired.BETTER
    assert sum(better.values()) <= 50, better


def test_a_thousand_jackknives_of_equals(rng_seed=3):
    rng = np.random.default_rng(rng_seed)
    groups, better = np.arange(24) % 8, 0
    for _ in range(1000):
        values = rng.beta(8, 2, (2, 24))
        without = [[value[groups != g].mean() for g in range(8)] for value in values]
        old, new = values.mean(axis=1)
        better += paired.of_groups(old, new, *without, MARGIN).answer == paired.BETTER
    assert better <= 50


class Network:
    """Two layers that know which of four clusters a point is of."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.hidden, self.bias = rng.normal(0, 1, (6, 32)), rng.normal(0, 1, 32)
        self.centres = rng.normal(0, 1, (4, 6)) * 2
        points, truth = self.sample(rng, 2000)
        features = np.tanh(points @ self.hidden + self.bias)
        self.out = np.linalg.lstsq(features, np.eye(4)[truth], rcond=None)[0]

    def sample(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        truth = np.arange(count) % 4
        return self.centres[truth] + rng.normal(0, 0.7, (count, 6)), truth

    def answer(self, points: np.ndarray, hidden=None, out=None) -> np.ndarray:
        hidden, out = (own if given is None else given
                       for own, given in ((self.hidden, hidden), (self.out, out)))  # fmt: skip
        return (np.tanh(points @ hidden + self.bias) @ out).argmax(axis=1)


def spoilt(kind: str, network: Network, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Answers of a sabotaged version."""
    if kind == "labels swapped":
        return np.array([1, 0, 2, 3])[network.answer(points)]
    if kind == "wrong scaling":
        return network.answer(points / 255)
    hidden, out = network.hidden.copy(), network.out.copy()
    for weights in (hidden, out):
        chosen = rng.random(weights.shape) < 0.1
        weights[chosen] += rng.normal(0, 5 * weights.std(), int(chosen.sum()))
    return network.answer(points, hidden, out)


@pytest.mark.parametrize("kind", ["labels swapped", "wrong scaling", "a tenth of weights noised"])
def test_a_hundred_spoilt_versions_are_refused(kind):
    rng = np.random.default_rng(11)
    network = Network(rng)
    passed = []
    for number in range(100):
        points, truth = network.sample(rng, 60)
        old = network.answer(points)
        assert (old == truth).mean() > 0.8
        found = paired.of_answers(
            truth, old, spoilt(kind, network, points, rng), number % 2 == 0, MARGIN
        )
        if found.answer in (paired.BETTER, paired.NO_WORSE):
            passed.append(number)
    assert not passed


def test_the_answers():
    truth = np.arange(60) % 2
    wrong = 1 - truth
    worse, bad = truth.copy(), truth.copy()
    worse[:1], bad[:10] = wrong[:1], wrong[:10]

    def answer(old, new, margin=MARGIN, balanced=True):
        return paired.of_answers(truth, old, new, balanced, margin).answer

    assert answer(truth, truth) == paired.NO_WORSE
    assert answer(truth, truth, margin=0.01) == paired.UNKNOWN
    assert answer(truth, worse) == paired.UNKNOWN
    assert answer(truth, worse, margin=0.2) == paired.NO_WORSE
    assert answer(bad, truth) == answer(bad, truth, balanced=False) == paired.BETTER
    assert answer(truth, bad) == answer(truth, bad, margin=0.5) == paired.WORSE


def test_recall_of_a_class():
    truth = np.array([0] * 10 + [1] * 10)
    new = truth.copy()
    new[:1] = 1
    assert paired.lost_recall(truth, truth, new) == {}
    new[:3] = 1
    assert paired.lost_recall(truth, truth, new) == {0: pytest.approx(0.3)}


def test_tangos_interval():
    """Without a difference it is z^2 / (n + z^2); otherwise as in Tango's example."""
    assert paired.tango_low(0, 0, 60) == pytest.approx(-(paired.Z**2) / (60 + paired.Z**2))
    assert paired.tango_low(12, 4, 1000) < 0.008 < -paired.tango_low(4, 12, 1000)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
def test_the_interval_holds_the_difference(gained, lost, same):
    count = gained + lost + same
    if count:
        low, high = paired.tango_low(gained, lost, count), -paired.tango_low(lost, gained, count)
        assert -1 <= low <= (gained - lost) / count + 1e-6
        assert (gained - lost) / count - 1e-6 <= high <= 1
