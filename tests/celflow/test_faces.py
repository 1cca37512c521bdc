import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celflow import errors, faces
from celflow.faces import Box


def test_the_margin_rule_inside_a_picture():
    # v = 60: 5 px left and right, 10 px above
    assert faces.crop_box(Box(100, 100, 60, 48), 400, 400) == Box(95, 90, 70, 58)


@pytest.mark.parametrize(
    ("face", "box"),
    [
        (Box(0, 100, 60, 60), Box(0, 90, 65, 70)),  # left border
        (Box(140, 100, 60, 60), Box(135, 90, 65, 70)),  # right border
        (Box(100, 0, 60, 60), Box(95, 0, 70, 60)),  # top border
        (Box(100, 140, 60, 60), Box(95, 130, 70, 70)),  # bottom border: no margin below
        (Box(0, 0, 200, 200), Box(0, 0, 200, 200)),  # the whole picture
        (Box(0, 0, 60, 60), Box(0, 0, 65, 60)),  # a corner
        (Box(-5, -5, 60, 60), Box(0, 0, 60, 55)),  # a detector that looks over the border
        (Box(150, 150, 60, 60), Box(145, 140, 55, 60)),
    ],
)
def test_the_margin_is_clipped_at_every_border(face, box):
    assert faces.crop_box(face, 200, 200) == box


@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(-50, 350), st.integers(-50, 350),
    st.integers(1, 400), st.integers(1, 400),
)  # fmt: skip
def test_a_crop_is_never_empty_and_never_outside(width, height, x, y, w, h):
    box = faces.crop_box(Box(x, y, w, h), width, height)
    assert box.w >= 1 and box.h >= 1
    assert box.x >= 0 and box.x + box.w <= width
    assert box.y >= 0 and box.y + box.h <= height
    cut = faces.crop(np.zeros((height, width, 3), np.uint8), Box(x, y, w, h))
    assert cut.shape == (box.h, box.w, 3)


def test_no_face_in_noise_or_in_a_tiny_picture(noise):
    assert faces.detect(noise(120, 120)) == []
    assert faces.detect(noise(3, 200)) == []
    assert faces.detect(noise(1, 1)) == []


def test_boxes_are_in_pixels_of_the_full_picture(monkeypatch, noise):
    monkeypatch.setattr(faces, "by_animeface", lambda small: [Box(10, 20, 30, 40)])
    found = faces.detect(noise(400, 800), detect_side=200)
    assert found == [Box(40, 80, 120, 160)]


def test_the_largest_face_comes_first_and_small_finds_go(monkeypatch, noise):
    found = [Box(0, 0, 30, 30), Box(50, 0, 60, 60), Box(9, 9, 10, 10)]
    monkeypatch.setattr(faces, "by_animeface", lambda small: found)
    assert [box.w for box in faces.detect(noise(200, 200))] == [60, 30]


def test_a_cascade_that_is_not_there_or_is_none(tmp_path, noise):
    with pytest.raises(errors.UserError, match="no cascade"):
        faces.detect(noise(), tmp_path / "missing.xml")
    rubbish = tmp_path / "rubbish.xml"
    rubbish.write_text("<opencv_storage></opencv_storage>")
    with pytest.raises(errors.UserError, match="no OpenCV cascade"):
        faces.detect(noise(), rubbish)


def test_animeface_is_an_option(monkeypatch, noise):
    monkeypatch.setitem(sys.modules, "animeface", None)
    with pytest.raises(errors.UserError, match=r"pip install -e \.\[animeface\]"):
        faces.detect(noise())


@pytest.mark.real
def test_detection_on_real_illustrations(real_data):
    """The cascade with animeface behind it finds nearly every face (96 % on all 128)."""
    from celflow.images import read_image

    cascade = real_data / "lbpcascade_animeface.xml"
    files = sorted((real_data / "characters3/raw").rglob("*.*"))[::9]
    hits = sum(bool(faces.detect(read_image(file).pixels, cascade)) for file in files)
    assert hits / len(files) >= 0.85, f"{hits} of {len(files)}"
