"""The sheet of `celflow diff`: which test pictures are on it, and that they can be seen."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from celflow.images import encode_png
from celflow.manifest import Examples
from celflow.registry import RegisteredVersion
from promotion import diff_sheet
from serving.client import Prediction

PAIR = tuple(RegisteredVersion("one", number, (), "", 0.0, {}, {}) for number in (1, 2))
LABELS = ["cartoon", "photo"]


class Server:
    """Answers by a version and the mean of the first picture."""

    def __init__(self, answer) -> None:
        self._answer = answer

    def predict(self, model, pictures, version):
        with Image.open(io.BytesIO(pictures[0])) as picture:
            pixels = np.asarray(picture)
        return Prediction(model, version, self._answer(version, pixels), 1.0)

    def predict_many(self, model, paths, version, in_flight):
        return [self.predict(model, [path.read_bytes()], version) for path in paths]


@pytest.fixture
def test_set(tmp_path, monkeypatch) -> Examples:
    """Six grey pictures, every second one a photo."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        Path(f"{number}.png").write_bytes(encode_png(np.full((30, 400, 3), 40 * number, np.uint8)))
    return Examples([f"{n}.png" for n in range(6)], np.arange(6) % 2, LABELS)


def test_a_classifier_shows_where_the_best_answer_is_another(test_set):
    def answer(version, pixels):
        photo = 0.9 if version == 1 or pixels.mean() > 70 else 0.2
        return {"classes": np.array([LABELS], object).astype("S"), "scores": [[1 - photo, photo]]}

    server = Server(lambda *asked: {k: np.asarray(v) for k, v in answer(*asked).items()})
    tiles, words = diff_sheet._named(server, PAIR, test_set)
    assert words == "versions 1 and 2 disagree on 2 of 6 test pictures"
    assert [title for _, title in tiles] == [
        f"{truth}\n1: photo (90%)\n2: cartoon (80%)" for truth in LABELS
    ]
    assert tiles[0][0].shape == (19, 256, 3)


def test_a_face_detector_shows_where_it_finds_more_or_fewer(test_set):
    def answer(version, pixels):
        count = 2 if version == 2 and pixels.mean() > 150 else 1
        return {
            "count": np.array([count]),
            "boxes": np.zeros((1, 100, 4)),
            "scores": np.ones((1, 100)),
        }

    tiles, words = diff_sheet._with_faces(Server(answer), PAIR, test_set)
    assert words == "versions 1 and 2 find another number of faces in 2 of 6 test pictures"
    assert [title for _, title in tiles] == ["1: 1 found\n2: 2 found"] * 2


def test_drawings_stand_side_by_side_the_most_different_first(test_set):
    def answer(version, pixels):
        drawn = pixels if version == 1 else pixels // 2
        return {"image_png": np.array([encode_png(drawn)], object)}

    tiles, words = diff_sheet._drawn(Server(answer), PAIR, test_set, "photo")
    assert words == "what versions 1 and 2 draw of 3 test pictures differs by 100.0 levels at most"
    assert [title for _, title in tiles[:3]] == ["picture", "1", "2, 100.0 levels apart"]
    assert [int(pixels[0, 0, 0]) for pixels, _ in tiles[:3]] == [200, 200, 100]
    assert len(tiles) == 9


@pytest.mark.parametrize("count", [0, 7])
def test_the_sheet_is_a_picture_with_a_row_for_each_six(count):
    tiles = [(np.full((20, 20, 3), 255, np.uint8), "a\nb")] * count
    with Image.open(io.BytesIO(diff_sheet._png(tiles, "nothing" if not count else "some"))) as png:
        assert png.width == 960 and png.height == round(80 * (2.6 * max(1, -(-count // 6)) + 0.4))
