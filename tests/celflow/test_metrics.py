import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celflow import metrics

TRUTH = np.array([0, 0, 0, 1])
SCORES = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
LABELS = ["cartoon", "photo"]


@st.composite
def answered(draw, classes=5, extra=0):
    """Truth of `classes` classes, and scores with `extra` columns more."""
    truth = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=50)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return truth, rng.dirichlet(
        np.full(classes + extra, draw(st.sampled_from([0.05, 1]))), len(truth)
    )


def test_measured_of_a_small_example():
    measured = metrics.classification(TRUTH, SCORES, LABELS)
    assert measured["accuracy"] == 0.75
    assert measured["recall"] == {"cartoon": pytest.approx(2 / 3), "photo": 1.0}
    assert measured["balanced_accuracy"] == pytest.approx(5 / 6)
    assert measured["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.8, 0.3, 0.6])))
    # Confidences 0.9, 0.8, 0.7, 0.6 lie in bins of their own; 0.7 is wrong.
    assert measured["ece"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.4) / 4)
    # Of three pairs of a cartoon and the photo (0.4), two are in order.
    assert measured["auroc"] == pytest.approx(2 / 3)
    # Recall rises by a third at precisions 1, 1 and 3/4.
    assert measured["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert metrics.confusion(TRUTH, SCORES).tolist() == [[2, 1], [0, 1]]


def test_three_classes_are_each_ranked_against_the_rest():
    truth = np.array([0, 1, 2, 2])
    scores = np.array([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.4, 0.4]])
    measured = metrics.classification(truth, scores, list("abc"))
    assert measured["auroc"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    curve = metrics.roc(truth, scores, list("abc"))  # all twelve pairs of picture and class
    assert curve.to_numpy()[0].tolist() == [0, 0] and curve.to_numpy()[-1].tolist() == [1, 1]


def test_unknown_is_a_wrong_answer_for_a_known_picture():
    scores = np.array([[0.5, 0.1, 0.4], [0.3, 0.1, 0.6], [0.1, 0.8, 0.1]])
    measured = metrics.classification(np.array([0, 0, 1]), scores, LABELS)
    assert measured["accuracy"] == pytest.approx(2 / 3)
    assert measured["balanced_accuracy"] == pytest.approx(3 / 4)
    assert measured["auroc"] == 1.0  # by the known columns both cartoons come before the photo


def test_held_out_are_told_by_the_last_column():
    known = np.array([[0.5, 0.1, 0.4], [0.1, 0.8, 0.1]])
    held_out = np.array([[0.3, 0.1, 0.6], [0.4, 0.3, 0.3]])
    measured = metrics.unknown(known, held_out)
    assert measured == {"unknown_auroc": 3 / 4, "unknown_recall": 1 / 2}


def test_selective():
    sure = np.array([True, True, False, True])
    assert metrics.selective(TRUTH, SCORES, sure) == {
        "unsure_share": 0.25, "decided_accuracy": 1.0, "decided_balanced_accuracy": 1.0,
    }  # fmt: skip
    assert metrics.selective(TRUTH, SCORES, np.zeros(4, bool)) == {"unsure_share": 1.0}


def test_intervals_of_known_width():
    """900 of 1000 right: 0.9 -+ 1.96 sqrt(0.9 * 0.1 / 1000) = 0.881 to 0.919."""
    truth = np.zeros(1000, int)
    scores = np.tile([0.9, 0.1], (1000, 1))
    scores[:100] = [0.1, 0.9]
    found = metrics.intervals(truth, scores)
    assert found["accuracy_low"] == pytest.approx(0.881, abs=0.003)
    assert found["accuracy_high"] == pytest.approx(0.919, abs=0.003)
    assert found == metrics.intervals(truth, scores)
    assert found != metrics.intervals(truth, scores, seed=1)


@given(answered())
def test_ranges(pictures):
    truth, scores = pictures
    measured = metrics.classification(truth, scores, list("abcde"))
    recall = measured.pop("recall")
    assert set(recall) == {"abcde"[i] for i in truth}
    assert metrics.confusion(truth, scores).sum() == measured.pop("pictures") == len(truth)
    assert measured.pop("log_loss") >= 0
    assert all(0 <= value <= 1 for value in measured.values())
    for name in ("accuracy", "balanced_accuracy"):
        low, high = measured[f"{name}_low"], measured[f"{name}_high"]
        assert low - 1e-9 <= measured[name] <= high + 1e-9


@given(answered(extra=1))
def test_calibration_error_is_a_gap_between_means(pictures):
    """At most the mean gap of single pictures, at least the gap of the means (Jensen)."""
    truth, scores = pictures
    best, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    error = metrics.expected_calibration_error(truth, scores)
    assert abs(best.mean() - right.mean()) - 1e-9 <= error <= np.abs(best - right).mean() + 1e-9
    assert metrics.reliability(truth, scores)["pictures"].sum() == len(truth)


@given(answered(classes=2))
def test_curves_have_their_area_and_are_thin(pictures):
    truth, scores = pictures
    roc = metrics.roc(truth, scores, LABELS)
    assert list(roc.columns) == ["false_positive_rate", "true_positive_rate"]
    pr = metrics.precision_recall(truth, scores, LABELS)
    assert len(roc) <= 200 and len(pr) <= 200
    if len(set(truth)) == 2:
        area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
        assert metrics.ranking(truth, scores, LABELS)["auroc"] == pytest.approx(area)
    else:
        assert roc.empty and pr.empty and not metrics.ranking(truth, scores, LABELS)


def test_long_curves_keep_their_ends():
    rng = np.random.default_rng(0)
    first = rng.random(5000)
    truth = (rng.random(5000) > first).astype(int)
    scores = np.stack([first, 1 - first], axis=1)
    for curve in (
        metrics.roc(truth, scores, LABELS),
        metrics.precision_recall(truth, scores, LABELS),
    ):
        assert len(curve) == 200
        assert curve.to_numpy()[:, 0].min() == 0 and curve.to_numpy()[:, 0].max() == 1


def drawn(seed=0, size=(40, 50)):
    """uint8 [H, W]: dark boxes on paper."""
    rng = np.random.default_rng(seed)
    pixels = np.full(size, 255, np.uint8)
    for _ in range(3):
        top, left = rng.integers(0, 25, 2)
        pixels[top : top + 12, left : left + 15] = rng.integers(0, 90)
    return pixels


def test_picture_measured_by_hand():
    true = drawn()
    measured = metrics.image_quality(true[None], np.uint8(np.clip(true + 10.0, 10, 255))[None])
    apart = np.clip(true + 10.0, 10, 255) - true
    assert measured["l1"] == pytest.approx(apart.mean() / 255)
    assert measured["psnr"] == pytest.approx(-10 * np.log10(np.mean((apart / 255) ** 2)))
    assert 0.9 < measured["ssim"] < 1 and measured["edge_f1"] == 1


def test_equal_pictures_have_the_best_measured():
    same = np.stack([drawn(1), drawn(2)])
    assert metrics.image_quality(same, same) == {
        "l1": 0.0, "psnr": metrics.MAX_PSNR, "ssim": pytest.approx(1), "edge_f1": 1.0,
    }  # fmt: skip


def test_edges_may_be_a_pixel_off_but_not_three():
    true = drawn(4)
    assert metrics.edge_f1(true, np.roll(true, 1, axis=1)) > 0.95
    assert metrics.edge_f1(true, np.roll(true, 3, axis=1)) < 0.7


def test_edges_of_empty_paper():
    paper = np.full((40, 50), 255, np.uint8)
    assert metrics.edge_f1(paper, paper) == 1
    assert metrics.edge_f1(drawn(), paper) == metrics.edge_f1(paper, drawn()) == 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_edge_f1_is_symmetric_and_a_share(one, other):
    figure = metrics.edge_f1(drawn(one), drawn(other))
    assert 0 <= figure <= 1
    assert figure == pytest.approx(metrics.edge_f1(drawn(other), drawn(one)))
