"""The released face detector on drawings of the sample's painter, whose faces are known."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from celflow.errors import UserError
from celflow.images import encode_png, read_image
from stages.models.face_detector import FaceDetector, finder, scenes
from stages.models.face_detector.config import FaceDetectorConfig
from stages.models.face_detector.scenes import hits
from stages.sample import photos
from stages.sample.canvas import SUPERSAMPLING, Canvas, Style
from stages.sample.cast import CAST, draw_figure, random_look
from stages.sample.drawings import finish
from stages.sample.scenes import draw_backdrop

from .conftest import make_model

PEN = Style(1.2, True, "cel", "plain")
SETTINGS = make_model("face_detector").config


@dataclass(frozen=True)
class Drawn:
    """A drawing, uint8 [H, W, 3], and the squares of its faces: centre x and y, side."""

    pixels: np.ndarray
    faces: tuple[tuple[float, float, float], ...]

    def found(self, boxes: np.ndarray) -> int:
        return int(hits(boxes, self.faces).any(axis=0).sum())

    def false(self, boxes: np.ndarray) -> int:
        return int((~hits(boxes, self.faces).any(axis=1)).sum())


def figures(seed: int, width: int, height: int, places: list[tuple[float, float, float]]) -> Drawn:
    """Characters at places: x, y and half a face's width, all in heights of the picture."""
    rng = np.random.default_rng(seed)
    canvas = Canvas.blank(width, height, PEN)
    draw_backdrop(canvas, rng)
    squares = []
    for number, (x, y, size) in enumerate(places):
        view = canvas.at(x, y, size)
        draw_figure(view, random_look(CAST[(seed + number) % len(CAST)], rng))
        # the head turns a little about the chin, which a square may pass over
        centre = view.matrix @ (0, 0.47, 1) / SUPERSAMPLING
        squares.append((float(centre[0]), float(centre[1]), 2.5 * view.scale / SUPERSAMPLING))
    return Drawn(finish(canvas, rng), tuple(squares))


def portrait(seed: int) -> Drawn:
    """One character to the waist, 420 x 600."""
    return figures(seed, 420, 600, [(0.35, 0.36, 0.17)])


@pytest.fixture(scope="module")
def find() -> finder.FaceFinder:
    return finder.load(SETTINGS, "train.face_detector.init")


def test_it_finds_the_face_and_nothing_else(find):
    drawn = [portrait(seed) for seed in range(12)]
    boxes = [find(one.pixels) for one in drawn]
    assert sum(one.found(found) for one, found in zip(drawn, boxes, strict=True)) >= 11
    assert sum(one.false(found) for one, found in zip(drawn, boxes, strict=True)) <= 1
    for found in boxes:
        assert found.dtype == np.float32 and found.shape[1] == 5
        assert np.all(np.diff(found[:, 4]) <= 0), "the surest first"


def dark(drawn: Drawn) -> Drawn:
    return Drawn(drawn.pixels // 4, drawn.faces)


def cut(drawn: Drawn) -> Drawn:
    """15 % of the face is cut off on the left."""
    ((x, y, side),) = drawn.faces
    first = round(x - 0.35 * side)
    return Drawn(drawn.pixels[:, first:], ((x - first, y, side),))


def tilted(degrees: float):
    def tilt(drawn: Drawn) -> Drawn:
        height, width = drawn.pixels.shape[:2]
        side = int(np.hypot(height, width))
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        turn = turn + np.array([[0, 0, (side - width) / 2], [0, 0, (side - height) / 2]])
        ((x, y, face),) = drawn.faces
        centre = turn @ (x, y, 1)
        white = cv2.warpAffine(drawn.pixels, turn, (side, side), borderValue=(255, 255, 255))
        return Drawn(white, ((float(centre[0]), float(centre[1]), face),))

    return tilt


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(dark, id="a quarter of the light"),
        pytest.param(cut, id="cut off"),
        pytest.param(tilted(30), id="tilted by 30"),
        pytest.param(tilted(-60), id="tilted by 60"),
    ],
)
def test_a_face_in_a_hard_place(find, change):
    drawn = [change(portrait(seed)) for seed in range(12)]
    assert sum(one.found(find(one.pixels)) for one in drawn) >= 10


def test_a_group_of_six(find):
    places = [(0.22 + 0.29 * i, 0.25 + 0.2 * (i % 2), 0.085) for i in range(6)]
    drawn = figures(3, 960, 500, places)
    boxes = find(drawn.pixels)
    assert drawn.found(boxes) >= 5 and drawn.false(boxes) <= 1


def test_small_faces_in_a_large_picture(find):
    """Twelve faces of 50 px in 2000 x 2000."""
    places = [(0.15 + 0.2 * (i % 4), 0.15 + 0.28 * (i // 4), 0.01) for i in range(12)]
    drawn = figures(5, 2000, 2000, places)
    assert drawn.found(find(drawn.pixels)) >= 10


def test_a_long_strip(find):
    """14 pictures below each other, 800 x 20 000."""
    strip = np.full((20_000, 800, 3), 255, np.uint8)
    squares = []
    for i in range(14):
        drawn = portrait(20 + i)
        top = 500 + i * 1370
        strip[top : top + 600, 190:610] = drawn.pixels
        squares += [(x + 190, y + top, side) for x, y, side in drawn.faces]
    assert Drawn(strip, tuple(squares)).found(find(strip)) >= 13


def test_boxes_scale_with_the_picture(find):
    drawn = portrait(1)
    small, large = find(drawn.pixels), find(cv2.resize(drawn.pixels, (1260, 1800)))
    assert np.allclose(large[0, :4] / 3, small[0, :4], atol=0.12 * drawn.faces[0][2])


def test_photographs_have_no_drawn_face(find):
    """But for two: the portrait of a woman, and coins with heads struck on them."""
    shown = {source for source in photos.SOURCES if len(find(photos.read_source(source)))}
    assert shown <= {"coins", "hopper"}


@settings(max_examples=12)
@given(st.integers(1, 700), st.integers(1, 40), st.booleans(), st.integers(0, 255))
def test_a_picture_of_any_size_gets_boxes_within_it(width, height, upright, level):
    if upright:
        width, height = height, width
    rng = np.random.default_rng(level)
    pixels = rng.integers(0, level + 1, (height, width, 3)).astype(np.uint8)
    boxes = finder.load(SETTINGS, "init")(pixels)
    assert np.isfinite(boxes).all()
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:4] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:4] <= (width + 0.01, height + 0.01)).all()


def test_one_colour_and_one_pixel_have_no_face(find):
    for shape in ((1, 1), (64, 64), (500, 700)):
        for level in (0, 128, 255):
            assert len(find(np.full((*shape, 3), level, np.uint8))) == 0


def test_it_is_served_as_it_was_found(find, tmp_path):
    model = make_model("face_detector")
    _fit(model, tmp_path / "fit")
    model.export(tmp_path / "fit", []).save(tmp_path / "saved")
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures
    drawn = [portrait(1), figures(2, 300, 200, [])]
    answer = served["serving_default"](
        image_bytes=tf.constant([encode_png(one.pixels) for one in drawn])
    )
    assert answer["boxes"].shape == (2, 100, 4) and answer["scores"].shape == (2, 100)
    for row, one in enumerate(drawn):
        expected = find(one.pixels)
        count = int(answer["count"][row])
        assert count == len(expected)
        assert np.allclose(answer["boxes"][row, :count], expected[:, :4], atol=0.5)
        assert np.allclose(answer["scores"][row, :count], expected[:, 4], atol=0.01)
        assert not np.any(answer["boxes"][row, count:])
    pixels = served["pixels"](pixels=tf.constant(drawn[0].pixels[None]))
    assert int(pixels["count"][0]) == int(answer["count"][0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="no JPEG, PNG, BMP or GIF"):
        served["serving_default"](image_bytes=tf.constant([b"rubbish"]))


def _fit(model: FaceDetector, folder: Path) -> list[dict]:
    """What fitting on a few painted faces logs."""
    pictures = folder.parent / "faces"
    pictures.mkdir()
    for seed in range(3):
        drawn = portrait(seed)
        ((x, y, side),) = drawn.faces
        left, top = round(x - side * 7 / 12), round(y - side * 2 / 3)
        crop = drawn.pixels[max(0, top) : round(y + side / 2), left : round(left + side * 7 / 6)]
        (pictures / f"{seed}.png").write_bytes(encode_png(crop))
    from celflow.manifest import Examples

    paths = sorted(str(path) for path in pictures.iterdir())
    examples = Examples(paths, np.zeros(len(paths), int), ["aki"])
    logged: list[dict] = []
    splits = dict.fromkeys(("train", "val", "test", "unknown"), examples)
    model.fit(splits, folder, folder.parent, lambda _, metrics: logged.append(dict(metrics)))
    return logged


def test_it_is_measured_on_the_faces_of_the_data(tmp_path):
    model = make_model("face_detector")
    (logged,) = _fit(model, tmp_path / "fit")
    assert logged["val_f1"] > 0.6
    from celflow.manifest import Examples

    paths = sorted(str(path) for path in (tmp_path / "faces").iterdir())
    splits = dict.fromkeys(
        ("train", "val", "test", "unknown"), Examples(paths, np.zeros(3, int), ["aki"])
    )
    report = model.measure(model.predictor(tmp_path / "fit"), splits)
    assert report.metrics["scenes"] == 3 * len(scenes.KINDS)
    assert report.metrics["faces"] == 3 * (len(scenes.KINDS) - 1)
    assert report.metrics["recall_plain"] >= 0.6
    (tmp_path / "sheet.png").write_bytes(report.draw()["sheet"])
    assert read_image(tmp_path / "sheet.png").pixels.shape[1] == 6 * 240
    blind = model.measure(lambda pixels: np.zeros((0, 5), np.float32), splits)
    assert (blind.metrics["recall"], blind.metrics["f1"]) == (0, 0)


@pytest.mark.parametrize("kind", [kind for kind in scenes.KINDS if kind != "mixed"])
def test_scenes_know_where_their_face_is(kind):
    """A marked crop: the mark in the middle of the face lies in the middle of the square."""
    crop = np.full((140, 140, 3), 90, np.uint8)
    cv2.circle(crop, (70, 80), 12, (255, 0, 0), -1)  # the face's middle is 60 px above the chin
    pixels, ((x, y, _),) = scenes.KINDS[kind](crop, np.random.default_rng(3))
    red = pixels[..., 0].astype(int) - pixels[..., 1] > 15
    rows, columns = np.nonzero(red)
    assert abs(columns.mean() - x) < 3 and abs(rows.mean() - y) < 3


def test_weights_that_are_not_there_or_of_another_network(tmp_path):
    np.savez(tmp_path / "other.npz", np.zeros(3))
    for init, words in (("missing.npz", "no file"), (str(tmp_path / "other.npz"), "another")):
        wrong = FaceDetectorConfig(init=init, short_side=448, threshold=0.3)
        with pytest.raises(UserError, match=words):
            finder.load(wrong, "train.face_detector.init")


@pytest.mark.real
def test_real_illustrations(real_data, find):
    files = sorted((real_data / "characters3").rglob("*.*"))[::6]
    found = [len(find(read_image(file).pixels)) for file in files]
    assert np.mean(np.array(found) >= 1) >= 0.95
    assert np.mean(np.array(found) > 1) <= 0.1
