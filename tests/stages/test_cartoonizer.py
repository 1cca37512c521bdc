"""White-box cartoonization: networks, training and what is served."""

import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from skimage.data import astronaut

from celflow import manifest
from celflow.errors import UserError
from celflow.images import encode_png, read_image
from celflow.params import Params, load
from stages import clean, facecrop, split
from stages.models.cartoonizer import Cartoonizer, data, judges, representations, symmetric
from stages.models.cartoonizer.features import Features, kernel_distance
from stages.models.cartoonizer.losses import colour_loss
from stages.models.cartoonizer.networks import discriminator, generator, guided_filter
from stages.models.cartoonizer.trainer import RELEASED, Trainer
from stages.models.common import keras_files, released_weights, table

TINY = {
    "init": "none", "image_size": 96, "channels": 8, "blocks": 1, "discriminator_channels": 4,
    "steps": 4, "pretrain": 2, "batch_size": 2, "log_every": 2,
}  # fmt: skip


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_the_filter_of_tensors_is_that_of_arrays():
    guide, x = noise(2, 1, 12, 17, 3)
    ours = guided_filter(guide, x, 2, 0.01)[0].numpy()
    box = representations.box(2)
    assert np.abs(ours - representations.guided_filter(guide[0], x[0], box, 0.01)).max() < 1e-4


def test_the_gradient_of_the_filter_is_right():
    guide, x = (tf.constant(one, tf.float64) for one in noise(2, 1, 5, 6, 1))
    analytic, numeric = tf.test.compute_gradient(
        lambda g, p: guided_filter(g, p, 1, 0.05), [guide, x]
    )
    for ours, wanted in zip(analytic, numeric, strict=True):
        assert np.abs(ours - wanted).max() < 1e-4


def test_training_starts_from_the_photo():
    x = noise(1, 40, 48, 3)
    assert np.array_equal(generator(8, 1)(x), x)


@pytest.mark.parametrize("way", symmetric.WAYS)
def test_what_is_mirrored_or_turned_is_drawn_mirrored_or_turned(way):
    model = generator(8, 1)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.05, w.shape) for w in model.get_weights()])
    x = noise(16, 24, 3)
    there = model(symmetric.seen(x, way)[None].copy())[0].numpy()
    back = symmetric.seen(model(x[None])[0].numpy(), way)
    assert np.abs(there - x.mean()).max() > 0.1
    np.testing.assert_allclose(there, back, atol=1e-5)


def test_a_discriminator_scores_patches_and_is_bounded():
    network = discriminator(4, 3)
    x = noise(1, 64, 64, 3)
    network(x, training=True)
    assert network(x).shape == (1, 8, 8, 1)
    kernel = network.layers[1].layer.kernel
    for _ in range(20):
        network(x, training=True)
    largest = np.linalg.svd(np.asarray(kernel).reshape(-1, 4), compute_uv=False)[0]
    assert largest == pytest.approx(1, abs=0.05)


def test_the_kernel_distance_knows_kinds_apart():
    rng = np.random.default_rng(0)
    first, second, other = rng.normal(size=(3, 40, 16))
    same, apart = kernel_distance(first, second), kernel_distance(first, other + 1)
    assert abs(same) < 0.2 * apart


def test_without_weights_pixels_and_gradients_are_compared():
    features = Features("none")
    photo = (noise(90, 90, 3) * 127 + 128).astype(np.uint8)
    assert features.distance(photo, photo) == 0
    assert features.pooled([photo]).shape[0] == 1
    with pytest.raises(UserError, match=r"cartoonizer.features '/no/where.h5'"):
        Features("/no/where.h5")


def test_vgg_sees_pictures_as_it_was_trained_to(monkeypatch):
    """Its weights can't be fetched here: the same network, untrained, and Keras's own way in."""
    network = keras.applications.VGG19(include_top=False, weights=None)
    monkeypatch.setattr(keras.applications, "VGG19", lambda include_top: network)
    photo = (noise(48, 64, 3) * 127 + 128).astype(np.uint8)
    features = Features("vgg19")
    deepest = keras.Model(network.input, network.get_layer("block5_conv4").output)
    prepared = keras.applications.vgg19.preprocess_input(photo[None].astype(np.float32))
    wanted = np.asarray(deepest(prepared)).mean(axis=(1, 2))
    assert features.name == "vgg19" and np.ptp(wanted) > 0
    np.testing.assert_allclose(features.pooled([photo]), wanted, atol=1e-4 * wanted.max())


def test_lines_may_be_drawn_but_in_black_and_white():
    grey = np.zeros((1, 16, 16, 3), np.float32)
    lines = np.where(np.arange(16) % 2, 0.2, -0.2).astype(np.float32)[:, None]
    red = lines * np.float32([1, 0, 0])
    apart = [float(colour_loss(grey, grey + each)) for each in (lines, red, 0.2)]
    assert apart[0] == pytest.approx(0, abs=1e-6) and apart[1] > 0.05
    assert apart[2] == pytest.approx(0.2, rel=1e-5)


def test_released_weights_of_another_size_are_refused(tmp_path):
    path, key = str(tmp_path / "w.npz"), "train.cartoonizer.init"
    released_weights.save(generator(8, 1), tmp_path / "w.npz")
    again = generator(8, 1)
    released_weights.load(again, path, RELEASED, key)
    with pytest.raises(UserError, match=rf"{key}: .*init: none"):
        released_weights.load(generator(8, 2), path, RELEASED, key)
    with pytest.raises(UserError, match=rf"{key}: no file"):
        released_weights.load(again, str(tmp_path / "nothing.npz"), RELEASED, key)


def test_flat_crops_are_of_the_same_places(monkeypatch):
    monkeypatch.setattr(data, "flattened", lambda pixels: 255 - pixels)
    pictures = [(noise(64, 80, 3) * 127 + 128).astype(np.uint8) for _ in range(3)]
    crops = data.Crops(pictures, 48)
    ours = crops(np.random.default_rng(3), 8)
    flat = crops.flattened(np.random.default_rng(3), 8)
    assert np.array_equal(ours, 255 - flat) and len(np.unique(ours[:, 0, 0], axis=0)) > 1


@pytest.fixture
def ready(project):
    params = project.configure({"train": {"cartoonizer": TINY}})
    for stage in (clean, facecrop, split):
        stage.run(params)
    return project


def model_of(params: Params) -> Cartoonizer:
    model = table.create("cartoonizer", params)
    assert isinstance(model, Cartoonizer)
    return model


def fit(params: Params, name: str) -> tuple[list[np.ndarray], list[dict]]:
    logged = []
    splits = manifest.read("cartoon_or_photo")
    folder = Path("models") / name
    model_of(params).fit(
        splits, folder, Path("scratch"), lambda step, metrics: logged.append(metrics)
    )
    return keras_files.load(folder).get_weights(), logged


def test_what_was_killed_goes_on_where_it_stopped(ready, monkeypatch):
    ready.configure({"train": {"cartoonizer": {"weights": {"style": 1.0}}}})
    whole, curve = fit(load(), "whole")
    assert {"flatness"} == set(curve[0])
    assert len(curve) == 2
    assert {"content", "grad_norm_texture", "discriminator_surface"} <= set(curve[1])
    assert any(np.abs(weight).max() > 0 for weight in whole)
    shutil.rmtree("scratch")
    step = Trainer.train_step

    def killed(self, *batch):
        if self.step == 3:
            raise KeyboardInterrupt
        return step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(load(), "again")
    again, resumed = fit(load(), "again")
    # On a busy machine TensorFlow's sums have one of two orders, which the last bits tell.
    for now, before in zip(resumed, curve, strict=True):
        assert now == pytest.approx(before, rel=1e-5)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-9)


def test_without_steps_it_stays_as_it_begins(ready):
    ready.configure({"train": {"cartoonizer": {"steps": 0}}})
    weights, logged = fit(load(), "untrained")
    first = generator(TINY["channels"], TINY["blocks"]).get_weights()
    assert len(logged) == 1
    assert all(np.array_equal(a, b) for a, b in zip(weights, first, strict=True))


def test_it_is_measured_and_served(ready):
    fit(load(), "cartoonizer")
    folder = Path("models/cartoonizer")
    model = model_of(load())
    draw = model.predictor(folder)
    report = model.measure(draw, manifest.read("cartoon_or_photo"))
    assert {"cartoon_score", "called_cartoon", "mirror_change", "kid_after"} <= set(report.metrics)
    assert report.metrics["content_distance"] >= 0
    assert report.metrics["mirror_change"] < 0.05 and report.metrics["turn_change"] < 0.05
    Path("sheet.png").write_bytes(report.draw()["sheet"])
    assert read_image(Path("sheet.png")).pixels.shape[1:] == (5 * 256, 3)
    model.export(folder, []).save(Path("saved"))
    ask = tf.saved_model.load("saved").signatures
    pixels = cv2.resize(astronaut(), (96, 80), interpolation=cv2.INTER_AREA)
    files = tf.constant([encode_png(pixels)])
    plain = ask["serving_default"](image_bytes=files)["image"][0].numpy().astype(int)
    assert np.abs(plain - draw(pixels)).max() <= 1

    def styled(strength: float, abstraction: float) -> np.ndarray:
        values = {"strength": [strength], "abstraction": [abstraction]}
        given = {name: tf.constant(value, tf.float32) for name, value in values.items()}
        return ask["styled"](image_bytes=files, **given)["image"][0].numpy().astype(int)

    assert np.array_equal(styled(1.0, 0.0), plain)
    assert np.array_equal(styled(0.0, 0.0), pixels)
    half = np.abs(styled(0.5, 0.0) - pixels).mean()
    assert 0.4 < half / np.abs(plain - pixels).mean() < 0.6
    simpler = styled(1.0, 1.0).astype(np.uint8)
    assert judges.flat_share(simpler) > judges.flat_share(plain.astype(np.uint8))
