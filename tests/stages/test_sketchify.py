"""Sketchify: its pairs, its network, and a training that was killed."""

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from celflow import metrics
from celflow.errors import UserError
from celflow.images import open_image
from celflow.manifest import Examples
from celflow.params import load
from stages.models.common import keras_files, released_weights
from stages.models.sketchify import baselines, graph, pairs, sketchify, unet
from stages.models.sketchify.loss import SketchLoss, _ssim
from stages.models.sketchify.sketchify import Sketchify

from .conftest import ROOT, flat_drawing, grainy_photo

CONFIG = {
    "image_size": 32, "patch": 32, "width": 2, "epochs": 2, "patience": None, "batch_size": 16,
    "learning_rate": 1e-2, "psnr_weight": 0.1, "edge_weight": 0.5, "ssim_weight": 0.2,
    "init": "none",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def without_graphs():
    """Tracing the network takes longer than the few steps that are made here."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@st.composite
def greys(draw, smallest=1) -> np.ndarray:
    """uint8 [H, W]: noise, or smooth, or of few values."""
    height, width = draw(st.integers(smallest, 60)), draw(st.integers(smallest, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = rng.integers(0, 256, (height, width), dtype=np.uint8)
    kind = draw(st.sampled_from(["noise", "smooth", "flat"]))
    if kind == "smooth":
        return cv2.GaussianBlur(pixels, (0, 0), 3).reshape(pixels.shape)
    return pixels if kind == "noise" else pixels // 128 * 255


def model() -> Sketchify:
    params = load(ROOT / "params.yaml")
    train = {**params.train, "sketchify": CONFIG}
    return Sketchify("sketchify", params.model_copy(update={"seed": 1, "train": train}))


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """Drawings and a photo in each split, and a test that is not there."""
    folder = tmp_path_factory.mktemp("drawings")
    found = {"test": Examples(["missing.png"], np.array([0]), ["cartoon", "photo"])}
    for split, count in (("train", 6), ("val", 2)):
        paths = [str(folder / f"{split}{i}.png") for i in range(count + 1)]
        for i, path in enumerate(paths):
            (flat_drawing(i + count) if i < count else grainy_photo(i)).save(path)
        found[split] = Examples(paths, np.array([0] * count + [1]), ["cartoon", "photo"])
    return found


@pytest.fixture(scope="module")
def fitted(splits, tmp_path_factory):
    """A fit of two epochs without an interruption: its folder and what it logged."""
    folder, logged = tmp_path_factory.mktemp("fitted"), []
    model().fit(splits, folder / "model", folder / "checkpoints", lambda *line: logged.append(line))
    return folder / "model", logged


def test_filters_by_the_published_recipe():
    pixels = np.array(flat_drawing(3).convert("L"))
    ink = cv2.adaptiveThreshold(pixels, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, 0, 9, 2)
    assert np.array_equal(pairs.binarize(pixels), cv2.medianBlur(ink, 3))
    blurred = cv2.GaussianBlur(pixels, (21, 21), 0).astype(float)
    exact = np.clip(256.0 * pixels / blurred, 0, 255)
    assert np.abs(pairs.sketch(pixels) - exact).max() <= 0.5


def test_black_and_white_pages_stay():
    for value, drawn in ((255, 255), (0, 0)):
        page = np.full((20, 30), value, np.uint8)
        assert np.all(pairs.sketch(page) == drawn)
        assert np.all(pairs.binarize(page) == 255)  # no edge, no ink


@settings(max_examples=40)
@given(greys())
def test_binary_in_the_graph_is_opencvs(grey):
    ours = pairs.binarize_graph(tf.constant(grey)).numpy()
    assert ours.dtype == np.uint8 and ours.shape == grey.shape
    assert np.mean(ours != pairs.binarize(grey)) <= 1e-3


@given(greys(), st.integers(1, 40))
def test_crops_are_square(grey, side):
    assert pairs.crop(grey, side).shape == (side, side)
    colour = np.dstack([grey] * 3)
    assert pairs.crop(colour, side).shape == (side, side, 3)


def test_crop_takes_the_middle_of_a_landscape_and_the_top_of_a_portrait():
    rows, columns = np.mgrid[:40, :60].astype(np.uint8)
    assert np.array_equal(pairs.crop(columns, 40)[0], np.arange(10, 50))
    assert np.array_equal(pairs.crop(columns.T, 40)[:, 0], np.arange(40))
    assert np.array_equal(pairs.crop(rows, 40)[:, 0], np.arange(40))


@given(greys(), st.sampled_from([16, 32]), st.integers(0, 2**32 - 1))
def test_windows_of_any_picture(grey, patch, seed):
    rngs = [np.random.default_rng(seed) for _ in range(2)]
    found = [pairs.window(grey, 32, patch, 0.1, rng) for rng in rngs]
    assert found[0].shape == (patch, patch) and found[0].dtype == np.uint8
    assert np.array_equal(*found)


def test_network_takes_any_multiple_of_16_and_has_the_papers_depth():
    model = unet.build(2)
    shapes = {layer.name: layer.output.shape for layer in model.layers}
    assert sum("max_pooling" in name for name in shapes) == 4
    assert sum("concatenate" in name for name in shapes) == 4
    drawn = np.asarray(model(np.random.default_rng(0).random((2, 16, 48, 1), np.float32)))
    assert drawn.shape == (2, 16, 48, 1) and drawn.min() >= 0 and drawn.max() <= 1


def test_ssim_of_the_loss_is_skimages():
    rng = np.random.default_rng(0)
    a = cv2.GaussianBlur(rng.random((40, 30), np.float32), (0, 0), 1)
    b = np.clip(a + rng.normal(0, 0.05, a.shape), 0, 1).astype(np.float32)
    ours = _ssim(*(tf.constant(x[None, ..., None]) for x in (a, b)))[0]
    theirs = structural_similarity(a, b, data_range=1, use_sample_covariance=False)
    assert float(ours) == pytest.approx(theirs, abs=1e-4)


def test_loss_grows_with_what_is_wrong():
    loss = SketchLoss(0.1, 0.5, 0.2)
    true = np.float32(flat_drawing(3).convert("L"))[None, ..., None] / 255
    grey, shifted = np.full_like(true, true.mean()), np.roll(true, 1, axis=2)
    assert float(loss(true, true)) == pytest.approx(0, abs=1e-5)
    assert 0 < float(loss(true, shifted)) < float(loss(true, grey))
    again = SketchLoss.from_config(loss.get_config())
    assert float(again(true, grey)) == float(loss(true, grey))


def test_fit_logs_each_epoch_and_never_opens_the_test(fitted):
    _, logged = fitted
    assert [epoch for epoch, _ in logged] == [0, 1]
    assert set(logged[0][1]) == {"loss", "val_loss", "val_psnr", "val_ssim"}


def test_a_killed_fit_ends_with_the_same_weights(fitted, splits, tmp_path):
    logged: list = []

    def kill(*line):
        if not logged:
            logged.append(line)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model().fit(splits, tmp_path / "model", tmp_path / "checkpoints", kill)
    logged.clear()
    model().fit(
        splits, tmp_path / "model", tmp_path / "checkpoints", lambda *line: logged.append(line)
    )
    assert logged == fitted[1]
    whole, resumed = (
        keras_files.load(folder).get_weights() for folder in (fitted[0], tmp_path / "model")
    )
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_without_validation_the_last_epoch_counts(splits, tmp_path):
    logged = []
    nothing = Examples([], np.zeros(0, np.int64), ["cartoon", "photo"])
    model().fit(
        {**splits, "val": nothing},
        tmp_path / "m",
        tmp_path / "c",
        lambda *line: logged.append(line),
    )
    assert [set(measured) for _, measured in logged] == [{"loss"}] * 2
    assert (tmp_path / "m/model.keras").is_file()


def test_measure_beside_baselines(fitted, splits):
    seen = {**splits, "test": splits["val"]}
    ours = model()
    report = ours.measure(ours.predictor(fitted[0]), seen)
    measured, sheet = report.metrics, open_image(report.draw()["sheet"]).pixels
    assert measured["pictures"] == 2  # the photo is no drawing
    assert sheet.shape == (64, 96, 3) and sheet.dtype == np.uint8
    for name in ("white", "binary", "line"):
        assert set(measured[name]) == {"l1", "psnr", "ssim", "edge_f1"}
    assert measured["line"]["psnr"] > measured["binary"]["psnr"]
    assert measured["white"]["edge_f1"] == 0


def test_straight_line_is_found_again():
    binaries = np.stack([pairs.binarize(np.array(flat_drawing(i).convert("L"))) for i in (1, 2)])
    true = baselines.on_line(binaries, slope=0.5, offset=0.4)
    line = baselines.fit_line(binaries, true)
    assert line["slope"] == pytest.approx(0.5, abs=0.01)
    assert metrics.image_quality(true, baselines.on_line(binaries, **line))["l1"] < 0.002


def test_no_drawings(splits):
    photos = Examples(splits["val"].paths[-1:], np.array([1]), ["cartoon", "photo"])
    with pytest.raises(UserError, match="'cartoon'"):
        sketchify.drawings(photos)


def test_served_sketch_of_any_size(fitted, tmp_path):
    model().export(fitted[0], []).save(tmp_path)
    ask = tf.saved_model.load(str(tmp_path)).signatures["pixels"]

    def draw(pixels: np.ndarray) -> np.ndarray:
        return ask(pixels=tf.constant(pixels[None]))["image"][0].numpy()

    pixels = np.array(flat_drawing(5).resize((75, 37)))
    drawn = draw(pixels)
    assert drawn.shape == pixels.shape and drawn.dtype == np.uint8
    assert np.array_equal(model().predictor(fitted[0])(pixels), drawn)
    binary = pairs.binarize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    assert np.array_equal(draw(np.dstack([binary] * 3)), drawn)  # a finished one
    assert draw(pixels[:1, :1]).shape == (1, 1, 3)


def test_a_pixel_depends_on_its_surroundings_only(fitted):
    """A pixel is the same in a part whose border is `MARGIN` away as in the whole."""
    network = keras_files.load(fitted[0])
    rng = np.random.default_rng(0)
    page = (rng.random((1, 64, 512, 1)) < 0.8).astype(np.float32)
    whole, part = network(page).numpy(), network(page[:, :, :320]).numpy()
    inside = 320 - graph.MARGIN
    assert np.abs(part[:, :, :inside] - whole[:, :, :inside]).max() < 1e-4


def test_weights_travel_in_half_precision(fitted, tmp_path):
    network = keras_files.load(fitted[0])
    released_weights.save(network, tmp_path / "kept.npz")
    again = unet.build(CONFIG["width"])

    def load_weights(into: keras.Model, name: str) -> None:
        path = str(tmp_path / name)
        released_weights.load(into, path, sketchify.RELEASED, "train.sketchify.init")

    load_weights(again, "kept.npz")
    for a, b in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    with pytest.raises(UserError, match=r"train\.sketchify\.init: .*another network"):
        load_weights(unet.build(3), "kept.npz")
    with pytest.raises(UserError, match="no file"):
        load_weights(again, "gone.npz")
    (tmp_path / "rubbish.npz").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="no weights"):
        load_weights(again, "rubbish.npz")
