import json
from pathlib import Path

import pandas as pd
import pytest

from celflow import faces
from celflow.errors import UserError
from celflow.images import read_image
from stages import clean, facecrop


@pytest.fixture
def cleaned(project):
    params = project.configure({"facecrop": {"detector": "classic"}})
    clean.run(params)
    return project


def finds(monkeypatch, boxes):
    """A detector that finds `boxes` in the pictures of aki, and nothing in the others."""

    def detect(pixels, *_):
        return boxes if tuple(pixels[0, 0]) == (40, 200, 220) else []

    monkeypatch.setattr(faces, "detect", detect)


def test_the_largest_face_is_cut_with_its_margin(cleaned, monkeypatch):
    finds(monkeypatch, [faces.Box(20, 20, 24, 24), faces.Box(0, 0, 10, 10)])
    facecrop.run(cleaned.configure({"facecrop": {"on_miss": "keep"}}))
    cut = read_image(Path("data/faces/aki/a0.png.png")).pixels
    assert cut.shape == (28, 28, 3)  # 24 + 24/12 on both sides; 24 + 24/6 above
    whole = read_image(Path("data/faces/beni/b0.png.png")).pixels
    assert whole.shape == (80, 96, 3)
    report = json.loads(Path("reports/facecrop.json").read_text())
    assert report == {"pictures": 24, "with_face": 12, "detection_rate": 0.5, "several_faces": 12}
    table = pd.read_csv("reports/faces.csv")
    assert table[table["label"] == "aki"][["x", "y", "w", "h"]].iloc[0].tolist() == [20, 20, 24, 24]
    assert (pd.read_csv("reports/no_face.csv")["label"] == "beni").all()


def test_a_character_without_any_face_is_named(cleaned, monkeypatch):
    finds(monkeypatch, [faces.Box(20, 20, 24, 24)])
    with pytest.raises(UserError, match=r"no face found in any picture of beni.*on_miss: keep"):
        facecrop.run(cleaned.configure({}))


def test_pictures_that_are_faces_already(cleaned):
    facecrop.run(cleaned.configure({"facecrop": {"detector": "none"}}))
    assert read_image(Path("data/faces/aki/a3.png.png")).pixels.shape == (80, 96, 3)


def test_a_cascade_that_is_not_there(cleaned):
    with pytest.raises(UserError, match=r"no cascade at missing\.xml"):
        facecrop.run(cleaned.configure({"facecrop": {"cascade": "missing.xml"}}))


def test_our_own_detector_is_the_default_and_needs_its_settings(cleaned):
    params = cleaned.configure({"facecrop": {"detector": "auto"}})
    with pytest.raises(UserError, match="no face found in any picture of aki, beni"):
        facecrop.run(params)  # flat shapes have none
    broken = params.model_copy(update={"train": {}})
    with pytest.raises(UserError, match=r"needs train\.face_detector in params\.yaml"):
        facecrop.face_finder(broken)
