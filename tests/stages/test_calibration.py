import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from celflow import metrics
from celflow.params import UnsureConfig
from stages.models.common import calibration, image_ops
from stages.models.common.calibration import Calibration
from stages.models.common.served_classifier import ONE_COLOUR, ServedClassifier

from .conftest import encoded, flat_drawing, grainy_photo, make_model

UNSURE = UnsureConfig(max_error=0.001, max_share=0.1)


def two(first: np.ndarray) -> np.ndarray:
    """Scores of two classes, of the first one's."""
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def answered(count: int, seed: int, overconfidence: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and scores that are calibrated but for their logits' factor `overconfidence`."""
    rng = np.random.default_rng(seed)
    first = rng.beta(0.5, 0.5, count)
    truth = (rng.random(count) > first).astype(int)
    return truth, calibration.temperature_scale(two(first), 1 / overconfidence).astype(np.float32)


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 2.0, 3.0])
def test_the_temperature_that_spoilt_the_scores_is_found(overconfidence):
    truth, scores = answered(4000, 1, overconfidence)
    found = calibration.best_temperature(truth, scores)
    assert found == pytest.approx(overconfidence, rel=0.15)
    healed = Calibration(found).scores(scores)
    assert metrics.expected_calibration_error(truth, healed) < 0.03
    assert (healed.argmax(axis=1) == scores.argmax(axis=1)).all()


def test_many_classes_have_a_temperature_too():
    rng = np.random.default_rng(0)
    right = rng.dirichlet(np.full(16, 0.2), 2000)
    truth = np.array([rng.choice(16, p=p) for p in right])
    spoilt = calibration.temperature_scale(right, 0.5)
    assert calibration.best_temperature(truth, spoilt) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("bias", [-1.5, 0.0, 1.0])
def test_a_border_that_lies_wrong_is_moved(bias):
    truth, right = answered(4000, 1)
    spoilt = calibration.temperature_scale(right, 0.6, bias)
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
    truth, scores = answered(19, 3, 2.0)
    assert calibration.fit(truth, scores, UNSURE) == Calibration()
    assert Calibration().scores(scores) is scores
    assert Calibration().sure(scores).all()


@given(
    hnp.arrays(np.float32, st.integers(20, 90), elements=st.floats(0, 1, width=32)),
    st.integers(0, 2**32 - 1),
)
def test_the_band_holds_its_promises(first, seed):
    truth = np.random.default_rng(seed).integers(0, 2, len(first))
    scores = two(first)
    low, high = calibration.thresholds(truth, scores, UNSURE)
    assert 0 <= low <= 0.5 <= high <= 1
    sure = Calibration(low=low, high=high).sure(scores)
    assert np.sum(~sure) <= 0.1 * len(first)
    assert not np.any(sure & (first > low) & (first < high))


def test_few_pictures_take_the_whole_band_and_its_place_is_where_the_errors_are():
    first = np.linspace(0.01, 0.99, 50)
    truth = (first < 0.5).astype(int)
    low, high = calibration.thresholds(truth, two(first), UNSURE)
    assert np.sum((first > low) & (first < high)) in (4, 5)  # 0.1 of 50, 2 or 3 on either side
    assert low == pytest.approx(1 - high, abs=0.03)
    truth[25:30] = 1  # the least sure cartoons are photos
    low, high = calibration.thresholds(truth, two(first), UNSURE)
    assert np.sum((first > 0.5) & (first < high)) == 5


def test_many_pictures_prove_the_rate_with_fewer_unsure():
    rng = np.random.default_rng(0)
    first = rng.random(20_000)
    truth = (first < 0.5).astype(int)
    hard = np.abs(first - 0.5) < 0.02  # 4 % of all, and wrong half of the time
    truth[hard] = rng.integers(0, 2, hard.sum())
    low, high = calibration.thresholds(truth, two(first), UNSURE)
    sure = Calibration(low=low, high=high).sure(two(first))
    assert 0.02 < np.mean(~sure) < 0.05
    wrong = (two(first).argmax(axis=1) != truth) & sure
    assert wrong.sum() / sure.sum() < 0.001


def test_saturated_scores():
    truth = np.arange(40) % 2
    scores = two(np.where(truth == 0, 1.0, 0.0))
    found = calibration.fit(truth, scores, UNSURE)
    assert found.sure(found.scores(scores)).all()


def test_the_exported_graph_answers_as_the_calibration_does(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"threshold": 0.6, "slope": 8.0}))
    files = [encoded(flat_drawing(i), "PNG") for i in range(8)]
    files += [encoded(grainy_photo(i), "PNG") for i in range(8)]
    labels, model = ["cartoon", "photo"], make_model("colours", colours=64, side=128)
    module = model.servable(tmp_path, labels, Calibration())
    raw = module.from_bytes(tf.constant(files))["scores"].numpy()
    ordered = np.sort(raw[:, 0])
    fitted = Calibration(1.7)
    low, high = np.sort(fitted.scores(two(ordered[[4, 9]]))[:, 0])
    fitted = Calibration(1.7, 0.4, min(low + 0.001, 0.5), max(high - 0.001, 0.5))

    model.servable(tmp_path, labels, fitted).save(tmp_path / "saved_model")
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    for signature, inputs in (
        ("serving_default", {"image_bytes": tf.constant(files)}),
        ("pixels", {"pixels": tf.stack([image_ops.decode(data) for data in files])}),
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
    module = ServedClassifier(labels, lambda image: image[0, 0, 0], lambda batch: scores)
    answer = module.from_pixels(tf.zeros([2, 4, 4, 3], tf.uint8))
    assert answer["verdict"].numpy().tolist() == [b"unknown", b"aki"]


@pytest.mark.parametrize("thresholds", [Calibration(low=0.4, high=0.6), Calibration()])
def test_in_a_picture_of_one_colour_there_is_nothing_to_go_by(thresholds):
    """Whatever the network makes of it; with no thresholds, nothing is ever unsure."""
    scores = tf.constant([[0.99, 0.01]] * 3)
    module = ServedClassifier(
        ["cartoon", "photo"], lambda image: image, lambda _: scores, calibration=thresholds
    )
    grey, nearly, drawn = np.full((3, 8, 8, 3), (90, 20, 200), np.uint8)
    nearly[::2] += np.uint8(ONE_COLOUR)
    drawn[3, 3] = 0
    answer = module.from_pixels(tf.constant(np.stack([grey, nearly, drawn])))
    unsure = [b"unsure"] * 2 if thresholds.low < thresholds.high else [b"cartoon"] * 2
    assert answer["verdict"].numpy().tolist() == [*unsure, b"cartoon"]
    found = answer["scores"].numpy()[:, 0]
    assert (found[:2] == 0.5).all() == (thresholds.low < thresholds.high) and found[2] > 0.9


def write_validation(folder, columns: int = 2, count: int = 60) -> None:
    """Scores of a model whose border lies wrong, as `train` keeps them."""
    first = np.linspace(0.02, 0.98, count)
    rest = np.repeat((1 - first)[:, None] / (columns - 1), columns - 1, axis=1)
    truth = (first < 0.3).astype(int)
    calibration.write_validation(folder, truth, np.column_stack([first, rest]).astype(np.float32))


def test_a_model_that_was_not_calibrated_keeps_its_scores(tmp_path):
    assert calibration.load(make_model("colours"), tmp_path) == Calibration()


def test_what_the_model_is_decides_how_it_is_calibrated(tmp_path):
    """A threshold stays where it was set; a network's border may move; characters have neither."""
    write_validation(tmp_path)
    rule, network = (calibration.load(make_model(n), tmp_path) for n in ("colours", "xception"))
    assert rule.bias == 0 != network.bias
    assert rule.low < 0.5 < rule.high
    assert rule.temperature != 1
    write_validation(tmp_path, columns=8)
    faces = calibration.load(make_model("character_cnn"), tmp_path)
    assert (faces.bias, faces.low, faces.high) == (0, 0.5, 0.5) and faces.temperature != 1


def test_validation_scores_come_back_as_they_were_written(tmp_path):
    truth, scores = answered(50, 5)
    calibration.write_validation(tmp_path, truth, scores)
    model = make_model("xception")
    fitted = calibration.fit(truth, scores, model.params.evaluate.unsure, biased=True)
    assert calibration.load(model, tmp_path) == fitted
