import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from celflow import metrics
from celflow.params import Unsure
from stages.models import calibration, colours, graph
from stages.models.calibration import Calibration

from .conftest import encoded, flat_drawing, grainy_photo

KNOBS = Unsure(error=0.001, most=0.1)


def two(first: np.ndarray) -> np.ndarray:
    """Scores of two classes, of the first one's."""
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def pictures(count: int, seed: int, heat: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores that are as sure as they should be, then made `heat` times as sure."""
    rng = np.random.default_rng(seed)
    first = rng.beta(0.5, 0.5, count)
    truth = (rng.random(count) > first).astype(int)
    return truth, calibration.heated(two(first), 1 / heat).astype(np.float32)


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.0, 3.0])
def test_the_temperature_that_spoilt_the_scores_is_found(heat):
    truth, scores = pictures(4000, 1, heat)
    found = calibration.best_temperature(truth, scores)
    assert found == pytest.approx(heat, rel=0.15)
    healed = Calibration(found).scores(scores)
    assert metrics.expected_calibration_error(truth, healed) < 0.03
    assert (healed.argmax(axis=1) == scores.argmax(axis=1)).all()


def test_many_classes_have_a_temperature_too():
    rng = np.random.default_rng(0)
    right = rng.dirichlet(np.full(16, 0.2), 2000)
    truth = np.array([rng.choice(16, p=p) for p in right])
    assert calibration.best_temperature(truth, calibration.heated(right, 0.5)) == pytest.approx(
        2, rel=0.1
    )


@pytest.mark.parametrize("bias", [-1.5, 0.0, 1.0])
def test_a_border_that_lies_wrong_is_moved(bias):
    truth, right = pictures(4000, 1)
    spoilt = calibration.heated(right, 0.6, bias)
    fitted = calibration.fit(truth, spoilt, None, biased=True)
    assert fitted.temperature == pytest.approx(1 / 0.6, rel=0.15)
    healed = fitted.scores(spoilt)
    assert metrics.expected_calibration_error(truth, healed) < 0.03
    assert metrics.accuracy(truth, healed) >= metrics.accuracy(truth, right) - 0.01
    assert calibration.fit(truth, spoilt, None).bias == 0


def test_pictures_without_a_mistake_do_not_prove_certainty():
    truth = np.arange(80) % 2
    scores = two(np.where(truth == 0, 0.97, 0.03))
    healed = Calibration(calibration.best_temperature(truth, scores)).scores(scores)
    assert healed.max() == pytest.approx(81 / 82, abs=0.001)


def test_few_pictures_change_nothing():
    truth, scores = pictures(19, 3, 2.0)
    assert calibration.fit(truth, scores, KNOBS) == Calibration()
    assert Calibration().scores(scores) is scores
    assert Calibration().sure(scores).all()


@given(
    hnp.arrays(np.float32, st.integers(20, 90), elements=st.floats(0, 1, width=32)),
    st.integers(0, 2**32 - 1),
)
def test_the_band_holds_its_promises(first, seed):
    truth = np.random.default_rng(seed).integers(0, 2, len(first))
    scores = two(first)
    low, high = calibration.thresholds(truth, scores, KNOBS)
    assert 0 <= low <= 0.5 <= high <= 1
    sure = Calibration(low=low, high=high).sure(scores)
    assert np.sum(~sure) <= 0.1 * len(first)
    assert not np.any(sure & (first > low) & (first < high))


def test_few_pictures_take_the_whole_band_and_its_place_is_where_the_errors_are():
    first = np.linspace(0.01, 0.99, 50)
    truth = (first < 0.5).astype(int)
    low, high = calibration.thresholds(truth, two(first), KNOBS)
    assert np.sum((first > low) & (first < high)) in (4, 5)  # 0.1 of 50, 2 or 3 on either side
    assert low == pytest.approx(1 - high, abs=0.03)
    truth[25:30] = 1  # the least sure cartoons are photos
    low, high = calibration.thresholds(truth, two(first), KNOBS)
    assert np.sum((first > 0.5) & (first < high)) == 5


def test_many_pictures_prove_the_rate_with_fewer_unsure():
    rng = np.random.default_rng(0)
    first = rng.random(20_000)
    truth = (first < 0.5).astype(int)
    hard = np.abs(first - 0.5) < 0.02  # 4 % of all, and wrong half of the time
    truth[hard] = rng.integers(0, 2, hard.sum())
    low, high = calibration.thresholds(truth, two(first), KNOBS)
    sure = Calibration(low=low, high=high).sure(two(first))
    assert 0.02 < np.mean(~sure) < 0.05
    wrong = (two(first).argmax(axis=1) != truth) & sure
    assert wrong.sum() / sure.sum() < 0.001


def test_saturated_scores():
    truth = np.arange(40) % 2
    scores = two(np.where(truth == 0, 1.0, 0.0))
    found = calibration.fit(truth, scores, KNOBS)
    assert found.sure(found.scores(scores)).all()


def test_the_exported_graph_answers_as_the_calibration_does(tmp_path):
    knobs = {"threshold": 0.6, "slope": 8.0, "colours": 64, "side": 128}
    (tmp_path / "model.json").write_text(json.dumps(knobs))
    files = [encoded(flat_drawing(i), "PNG") for i in range(8)]
    files += [encoded(grainy_photo(i), "PNG") for i in range(8)]
    module = colours.export(tmp_path, ["cartoon", "photo"])
    raw = module.from_bytes(tf.constant(files))["scores"].numpy()
    ordered = np.sort(raw[:, 0])
    fitted = Calibration(1.7)
    low, high = np.sort(fitted.scores(two(ordered[[4, 9]]))[:, 0])
    fitted = Calibration(1.7, 0.4, min(low + 0.001, 0.5), max(high - 0.001, 0.5))

    module = colours.export(tmp_path, ["cartoon", "photo"])
    module.calibration = fitted
    module.save(tmp_path / "saved_model")
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    for signature, inputs in (
        ("serving_default", {"image_bytes": tf.constant(files)}),
        ("pixels", {"pixels": tf.stack([graph.decode(data) for data in files])}),
    ):
        answer = loaded.signatures[signature](**inputs)
        expected = fitted.scores(raw)
        assert np.allclose(answer["scores"], expected, atol=1e-5)
        names = np.array([b"cartoon", b"photo"])[expected.argmax(axis=1)]
        verdict = np.where(fitted.sure(expected), names, b"unsure")
        assert answer["verdict"].numpy().tolist() == verdict.tolist()
    assert b"unsure" in verdict and b"cartoon" in verdict
    empty = loaded.signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert empty["verdict"].shape == (0,)


def test_one_column_more_than_names_is_answered_too():
    labels = ["aki", "beni", "unknown"]
    scores = tf.constant([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])
    module = graph.Classifier(labels, lambda image: image[0, 0, 0], lambda batch: scores)
    answer = module.from_pixels(tf.zeros([2, 4, 4, 3], tf.uint8))
    assert answer["verdict"].numpy().tolist() == [b"unknown", b"aki"]
