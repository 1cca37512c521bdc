"""What the cartoonizer does before and after its network: light, flatness, palette, contours."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from stages.models.cartoonizer import cel, flattening, graph, judges, symmetric
from stages.models.cartoonizer.networks import generator
from stages.models.common.served_image_model import image_predictor

PHOTO = cv2.resize(astronaut(), (128, 128), interpolation=cv2.INTER_AREA)


def identity(x, training=False):
    return x


def two_halves() -> np.ndarray:
    halves = np.full((64, 64, 3), 60, np.uint8)
    halves[:, 20:44] = 190
    return halves


def test_flattening_takes_shades_and_keeps_borders():
    shaded = two_halves() + np.random.default_rng(0).normal(0, 6, (64, 64, 3))
    flat = flattening.flattened(shaded.clip(0, 255).astype(np.uint8)).astype(int)
    for part in (np.s_[:, 2:18], np.s_[:, 22:42]):
        assert flat[part].std(axis=(0, 1)).max() < 1.5
    assert np.abs(flat - two_halves()).max() < 10


def test_a_dark_photo_gets_the_light_of_drawings_and_grey_stays_grey():
    dark = (PHOTO * 0.5).astype(np.uint8)
    lit = flattening.lit(dark)
    assert lit.mean() > 1.6 * dark.mean()
    light = np.full((8, 8, 3), 120, np.uint8)
    assert abs(flattening.lit(light).mean() / 255 - flattening.LIGHT) < 0.01
    grey = flattening.lit(PHOTO[..., :1].repeat(3, axis=-1)).astype(int)
    assert np.ptp(grey, axis=-1).max() <= 1


def test_the_palette_has_the_colours_of_the_picture():
    wanted = np.float32([[0, 0, 0], [31, 0, 0], [0, 24, 16], [31, 31, 31]]) / 31
    sizes = (3000, 900, 60, 10)
    picture = np.repeat(wanted, sizes, axis=0)[None]
    found = cel.palette(tf.constant(picture), tf.constant(4)).numpy() @ cel.FROM_OPPONENT
    assert np.abs(found[:, None] - wanted).max(axis=-1).min(axis=0).max() < 0.01


def test_a_picture_of_fewer_colours_than_the_palette_has_goes_through():
    found = cel.palette(tf.ones((8, 8, 3)), tf.constant(5)).numpy()
    assert np.isfinite(found).all() and np.abs(found @ cel.FROM_OPPONENT - 1).max() < 0.01


def test_specks_go_under_and_things_stay():
    colours = tf.constant(np.float32([[0.5] * 3, [0.58] * 3, [0, 0, 0]]) @ cel.TO_OPPONENT)
    picture = np.full((32, 32, 3), 0.5, np.float32)
    picture[5, 5] = 0.58  # a faint speck
    picture[20:23, 20:24] = 0  # an eye
    drawn = cel.regions(tf.constant(picture), colours, tf.constant(1.2)).numpy().argmax(axis=-1)
    assert drawn[5, 5] == 0 and (drawn[20:23, 20:24] == 2).sum() >= 8


def test_contours_lie_on_the_dark_side_of_borders_in_every_direction():
    rows, columns = np.mgrid[:96, :96] - 47.5
    disk = np.where(np.hypot(rows, columns) < 30, 0.4, 0.8).astype(np.float32)
    picture = tf.constant(disk[..., None].repeat(3, axis=-1))
    ink = cel.ink(cel.contours(picture, tf.constant(0.8))).numpy()[..., 0]
    assert ink[disk > 0.5].mean() < 0.02 * ink[disk < 0.5].max()
    angle = np.degrees(np.arctan2(rows, columns)) % 180
    around = [ink[(angle >= low) & (angle < low + 30)].sum() for low in range(0, 180, 30)]
    assert min(around) > 10 and max(around) < 1.3 * min(around)


@pytest.fixture(scope="module")
def draw():
    return image_predictor(lambda image: graph.drawing_of(image, identity))


def test_it_draws_flat_regions_with_contours(draw):
    drawn = draw(PHOTO)
    assert judges.flat_share(drawn) > judges.flat_share(PHOTO) + 0.1
    assert judges.colour_coverage(drawn) > 0.7 > judges.colour_coverage(PHOTO)
    assert judges.added_ink(PHOTO, drawn).mean() > 0.01
    assert judges.likeness(PHOTO, drawn) > 0.9


def test_mirrored_and_turned_photos_give_mirrored_and_turned_drawings(draw):
    photo = PHOTO[:101, :87]
    assert max(judges.changes(draw, photo, draw(photo))) < 0.05


def test_a_larger_picture_is_drawn_in_strips_without_seams(draw, monkeypatch):
    large = cv2.resize(PHOTO, (160, 150))
    whole = draw(large)
    monkeypatch.setattr(graph, "STRIP", 160 * 7)
    strips = image_predictor(lambda image: graph.drawing_of(image, identity))(large)
    assert np.abs(whole.astype(int) - strips).max() <= 1


def test_what_is_drawn_small_is_sharp_in_full_size(monkeypatch):
    monkeypatch.setattr(graph, "AREA", 64 * 64)
    drawn = image_predictor(lambda image: graph.drawing_of(image, identity))(PHOTO)
    assert drawn.shape == PHOTO.shape and judges.flat_share(drawn) > 0.35


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_any_size_is_drawn(draw, height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert draw(pixels).shape == pixels.shape


def test_the_network_is_symmetric_in_the_graph():
    model = generator(8, 1)
    rng = np.random.default_rng(1)
    model.set_weights([w + rng.normal(0, 0.02, w.shape) for w in model.get_weights()])
    draw = image_predictor(lambda image: graph.drawing_of(image, model))
    there = draw(np.ascontiguousarray(symmetric.seen(PHOTO, (1, True))))
    back = symmetric.seen(draw(PHOTO), (1, True))
    assert np.abs(there.astype(int) - back).mean() < 0.1
