import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from celflow import faces
from celflow.errors import UserError
from celflow.images import read_image
from stages import clean, facecrop
from stages.face_finder import face_finder


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


def test_a_character_without_any_face_is_named_and_the_reports_are_there(cleaned, monkeypatch):
    finds(monkeypatch, [faces.Box(20, 20, 24, 24)])
    with pytest.raises(UserError, match=r"no face found in any picture of beni.*on_miss: keep"):
        facecrop.run(cleaned.configure({}))
    assert not Path("data/faces").exists()
    assert json.loads(Path("reports/facecrop.json").read_text())["with_face"] == 12
    assert set(pd.read_csv("reports/no_face.csv")["label"]) == {"beni"}
    assert len(pd.read_csv("reports/faces.csv")) == 24


@pytest.mark.parametrize(("on_miss", "fate"), [("drop", "are left out"), ("keep", "stand for it")])
def test_pictures_without_a_face_are_said_and_what_face_crops_need(
    cleaned, monkeypatch, capsys, on_miss, fate
):
    shutil.copyfile("data/clean/characters/aki/a0.png.png", "data/clean/characters/beni/aki.png")
    finds(monkeypatch, [faces.Box(20, 20, 24, 24)])
    facecrop.run(cleaned.configure({"facecrop": {"on_miss": on_miss}}))
    said = capsys.readouterr().out
    assert f"12 of 25 pictures had no face and {fate}" in said
    assert "if they are face crops already, set facecrop.detector: none" in said


def test_pictures_that_are_faces_already(cleaned, capsys):
    capsys.readouterr()
    facecrop.run(cleaned.configure({"facecrop": {"detector": "none"}}))
    assert read_image(Path("data/faces/aki/a3.png.png")).pixels.shape == (80, 96, 3)
    # Nobody looked, so nothing is said of how many have a face.
    assert capsys.readouterr().out == (
        "24 pictures are taken for faces as they are (facecrop.detector: none)\n"
    )
    assert json.loads(Path("reports/facecrop.json").read_text()) == {"pictures": 24}
    table = pd.read_csv("reports/faces.csv")
    assert table["faces"].isna().all() and (table["w"] == 96).all()
    assert len(pd.read_csv("reports/no_face.csv")) == 0


def test_a_cascade_that_is_not_there(cleaned):
    with pytest.raises(UserError, match=r"no cascade at missing\.xml"):
        facecrop.run(cleaned.configure({"facecrop": {"cascade": "missing.xml"}}))


def test_our_own_detector_is_the_default_and_needs_its_settings(cleaned, monkeypatch):
    params = cleaned.configure({"facecrop": {"detector": "auto"}})
    with pytest.raises(UserError, match="no face found in any picture of aki, beni"):
        facecrop.run(params)  # flat shapes have none
    for few in (0, 1000):
        monkeypatch.setitem(facecrop.FEW, "auto", few)
        with pytest.raises(UserError, match=r"train\.face_detector\.init.*nowhere\.npz"):
            facecrop.run(cleaned.configure({"train": {"face_detector": {"init": "nowhere.npz"}}}))
    broken = params.model_copy(update={"train": {}})
    with pytest.raises(UserError, match=r"needs train\.face_detector in params\.yaml"):
        face_finder(broken)
