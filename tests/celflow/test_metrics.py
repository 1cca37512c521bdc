import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celflow import metrics


def test_figures_of_a_small_example():
    truth = np.array([0, 0, 0, 1])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    figures = metrics.classification(truth, scores, ["cartoon", "photo"])
    assert figures["accuracy"] == 0.75
    assert figures["recall"] == {"cartoon": pytest.approx(2 / 3), "photo": 1.0}
    assert figures["balanced_accuracy"] == pytest.approx(5 / 6)
    assert figures["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.8, 0.3, 0.6])))
    assert metrics.confusion(truth, scores).tolist() == [[2, 1], [0, 1]]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=50), st.integers(0, 2**32 - 1))
def test_ranges(truth, seed):
    truth = np.array(truth)
    scores = np.random.default_rng(seed).dirichlet(np.ones(5), len(truth))
    figures = metrics.classification(truth, scores, list("abcde"))
    assert 0 <= figures["accuracy"] <= 1
    assert 0 <= figures["balanced_accuracy"] <= 1
    assert set(figures["recall"]) == {"abcde"[i] for i in truth}
    assert metrics.confusion(truth, scores).sum() == len(truth)
