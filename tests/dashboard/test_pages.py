"""Each page against a model server with fixed answers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from streamlit.testing.v1 import AppTest

from celflow import faces

from .fake_model_server import CHARACTERS, FakeServer

ROOT = Path(__file__).parents[2]
TWO_FACES = [(5, 5, 24, 24), (40, 30, 30, 30)]  # the surest first


def try_it() -> None:
    from dashboard.views import try_it

    try_it.page()


def compare() -> None:
    from dashboard.views import compare

    compare.page()


def draw() -> None:
    from dashboard.views import draw

    draw.page()


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A running server; no gallery; a detector that finds two faces."""
    import streamlit as st

    server = FakeServer()
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["models"] = {name: settings["models"][name] for name in server.models}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELFLOW_SERVER", server.address)
    server.faces = TWO_FACES
    st.cache_data.clear()
    st.cache_resource.clear()
    yield server
    server.stop()


@pytest.fixture
def picture(noise, encode) -> tuple[str, bytes]:
    return "drawn.png", encode(noise(80, 120))


def opened(page, picture: tuple[str, bytes] | None) -> AppTest:
    """The page after a picture was chosen."""
    test = AppTest.from_function(page, default_timeout=30)
    if picture:
        test.session_state["picture"] = picture
    test.run()
    assert not test.exception
    return test


def text(test: AppTest) -> str:
    """All text that the page shows."""
    shown = [element.proto.body for element in test.get("html")]
    for element_type in ("title", "subheader", "caption", "error", "warning", "info"):
        shown += [element.value for element in getattr(test, element_type)]
    return "\n".join(shown).replace("\\", "")


def test_without_a_picture_the_page_says_what_to_do(fake):
    shown = text(opened(try_it, None))
    assert "Upload a picture" in shown
    assert "No samples" in shown


def test_every_model_answers_and_the_verdict_is_the_first_ones(fake, picture):
    shown = text(opened(try_it, picture))
    assert "<b>Cartoon</b>" in shown and "colours says so" in shown and "xception" in shown
    assert "91.0 %" in shown and "98.5 %" in shown
    assert "version 2" in shown


def test_a_model_that_is_unsure(fake, picture):
    fake.verdicts["xception"] = "unsure"
    assert "<b>Cartoon</b>" in text(opened(try_it, picture))
    fake.verdicts["colours"] = "unsure"
    assert "<b>Unsure</b>" in text(opened(try_it, picture))
    assert "Both say unsure" in text(opened(compare, picture))


def test_each_face_has_its_crop_and_three_names(fake, picture):
    shown = text(opened(try_it, picture))
    assert "Face 1: Chiyo" in shown and "Face 2: Daiki" in shown
    (crops,) = fake.received["character_cnn"]
    assert len(crops) == 2
    assert shown.count("Daiki") >= 2 and "Face 3" not in shown


def test_of_nobody_known_the_three_nearest_are_named(fake, picture):
    names = (*CHARACTERS, "unknown")
    fake.models["character_cnn"] = (names, {1: [0.05, 0.01, 0.02, 0.0, 0.92]})
    fake.faces = fake.faces[:1]
    shown = text(opened(try_it, picture))
    assert "Face 1: unknown" in shown and "92.0 %" in shown
    assert [name in shown for name in CHARACTERS] == [True, True, True, False]


def test_no_face_and_the_whole_picture_instead(fake, picture):
    fake.faces = []
    test = opened(try_it, picture)
    assert "No face was found" in text(test)
    assert "character_cnn" not in fake.received
    test.toggle(key="whole").set_value(True).run()
    assert "Face 1: Chiyo" in text(test)


def test_a_face_detector_that_is_not_served(fake, picture):
    del fake.models["face_detector"]
    shown = text(opened(try_it, picture))
    assert "face_detector is not served yet" in shown and "Cartoon or photo?" in shown
    assert "character_cnn" not in fake.received


@pytest.mark.parametrize("page", [try_it, compare])
@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_rubbish_is_called_so(fake, page, content):
    shown = text(opened(page, ("rubbish.jpg", content)))
    assert "rubbish.jpg is no usable picture" in shown
    assert not fake.received


@pytest.mark.parametrize("page", [try_it, compare])
def test_a_server_that_is_down(fake, picture, page):
    fake.stop()
    shown = text(opened(page, picture))
    assert "The model server is down" in shown and "celflow up" in shown


def test_a_model_that_is_not_served(fake, picture):
    del fake.models["xception"]
    shown = text(opened(try_it, picture))
    assert "xception is not served yet" in shown and "celflow deploy" in shown
    assert "91.0 %" in shown


def test_compare_two_models_and_two_versions(fake, picture):
    test = opened(compare, picture)
    assert "Both say cartoon" in text(test)
    test.selectbox(key="version-b-xception").set_value(1).run()
    shown = text(test)
    assert "They disagree" in shown and "cartoon on the left, photo on the right" in shown
    assert "version 1" in shown and " ms" in shown

    test.selectbox(key="model-a").set_value("character_cnn").run()
    shown = text(test)
    assert "Chiyo on the left, Botan on the right" in shown
    first = fake.received["character_cnn"][-1]
    test.selectbox(key="face").set_value(1).run()
    assert not test.exception
    assert fake.received["character_cnn"][-1] != first


def test_compare_a_label_that_nobody_bears(fake, picture):
    test = opened(compare, picture)
    test.selectbox(key="version-a-colours").set_value("canary").run()
    shown = text(test)
    assert "canary" in shown and not test.exception
    assert "98.5 %" in shown


def test_answers_follow_a_promotion(fake, picture):
    test = opened(try_it, picture)
    assert "98.5 %" in text(test)
    fake.labels["xception"]["stable"] = 1
    test.run()
    assert "98.5 %" not in text(test) and "70.0 %" in text(test)


def test_the_gallery_shows_samples_and_opens_one(fake, noise, encode, tmp_path):
    folder = tmp_path / "data/sample/cartoon_or_photo/cartoon"
    folder.mkdir(parents=True)
    for i in range(6):
        (folder / f"{i}.png").write_bytes(encode(noise(40, 60, i)))
    (folder / "rubbish.png").write_bytes(b"rubbish")
    test = opened(try_it, None)
    test.button(key="pick-0").click().run()
    assert not test.exception
    assert "98.5 %" in text(test)


def test_the_frame_says_what_is_served(fake):
    test = AppTest.from_file(str(ROOT / "dashboard/app.py"), default_timeout=30).run()
    assert not test.exception
    shown = text(test)
    assert "<b>up</b>" in shown and "v2, v1" in shown
    fake.stop()
    assert "<b>down</b>" in text(test.run())


def test_broken_params_are_one_line(fake, tmp_path):
    (tmp_path / "params.yaml").write_text("seed: seven\n")
    test = AppTest.from_file(str(ROOT / "dashboard/app.py"), default_timeout=30).run()
    assert not test.exception
    assert "params.yaml" in text(test)


def test_the_page_needs_neither_tensorflow_nor_the_stages():
    code = (
        "import sys; from dashboard import server_status;"
        "from dashboard.views import compare, draw, try_it;"
        "heavy = {'tensorflow', 'keras', 'stages', 'promotion'};"
        "print([m for m in sys.modules if m.split('.')[0] in heavy])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_page_cuts_faces_as_training_does(fake, picture, noise):
    opened(try_it, picture)
    from celflow.images import open_image

    (crops,) = fake.received["character_cnn"]
    pixels = open_image(picture[1]).pixels
    assert np.array_equal(open_image(crops[0]).pixels, faces.crop(pixels, faces.Box(*TWO_FACES[1])))


@pytest.fixture
def image_models(fake):
    """The server with image models, too."""
    for name in ("cartoonizer", "sketchify"):
        fake.models[name] = ((), {1: [], 2: []})
        fake.labels[name] = {"stable": 1, "canary": 2}
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["models"] = {name: settings["models"][name] for name in fake.models}
    Path("params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return fake


def images(test: AppTest) -> int:
    return len(test.get("image"))


def test_a_picture_is_drawn_and_the_white_box_is_open(image_models, picture):
    test = opened(draw, picture)
    shown = text(test)
    assert "cartoonizer" in shown and "sketchify" in shown and "The white box" in shown
    assert images(test) == 6  # itself, two drawings, and the three of the white box
    assert image_models.styles == {}  # sketchify was last, and has none
    assert len(image_models.received["cartoonizer"]) == 1


def test_the_sliders_are_styles(image_models, picture):
    del image_models.models["sketchify"]
    test = opened(draw, picture)
    assert image_models.styles == pytest.approx({"strength": 1.0, "abstraction": 0.0})
    test.slider[0].set_value(0.9).run()
    assert image_models.styles["strength"] == pytest.approx(0.9)
    assert "sketchify is not served yet" in text(test)


def test_drawings_of_two_versions_side_by_side(image_models, picture):
    test = opened(compare, picture)
    test.selectbox(key="model-a").set_value("cartoonizer").run()
    assert not test.exception
    assert images(test) == 3
    assert len(image_models.received["cartoonizer"]) == 2
