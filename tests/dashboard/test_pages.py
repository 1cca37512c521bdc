"""Each page against a model server with fixed answers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from streamlit.testing.v1 import AppTest

from celflow import faces
from celflow.images import open_image
from dashboard import command

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


def sort() -> None:
    from dashboard.views import sort

    sort.page()


def label() -> None:
    from dashboard.views import label

    label.page()


def models() -> None:
    from dashboard.views import models

    models.page()


def data() -> None:
    from dashboard.views import data

    data.page()


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
    assert "face_detector is not served yet" in shown and "<b>Cartoon</b>" in shown
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
    test.selectbox(key="version-b-colours-xception").set_value(1).run()
    shown = text(test)
    assert "They disagree" in shown and "colours says cartoon, xception photo" in shown
    assert "version 1" in shown and " ms" in shown

    test.selectbox(key="model-a").set_value("character_cnn").run()
    shown = text(test)
    assert "version 1 says Chiyo, version 2 Botan" in shown
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
        "import sys, dashboard.app;"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'stages', 'promotion'};"
        "print([m for m in sys.modules if m.split('.')[0] in heavy])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_page_cuts_faces_as_training_does(fake, picture, noise):
    opened(try_it, picture)
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
    asked = image_models.received["cartoonizer"][-2:]
    assert [open_image(one[0]).pixels.shape for one in asked] == [(80, 120, 3)] * 2


def test_compare_starts_with_champion_and_challenger(fake, picture):
    test = opened(compare, picture)
    test.selectbox(key="model-a").set_value("xception").run()
    assert test.selectbox(key="model-b-xception").value == "xception"
    keys = "version-a-xception", "version-b-xception-xception"
    chosen = [test.selectbox(key=key).value for key in keys]
    assert chosen == ["stable", "canary"]
    assert "They disagree" in text(test)


def test_two_versions_on_the_test_pictures(fake, picture, tmp_path):
    folder = tmp_path / "data/split"
    folder.mkdir(parents=True)
    (tmp_path / "a.png").write_bytes(picture[1])
    rows = ["path,label,split,group,sha256", "a.png,cartoon,test,0,x", "a.png,photo,test,1,x"]
    (folder / "cartoon_or_photo.csv").write_text("\n".join(rows) + "\n")
    test = opened(compare, picture)
    test.selectbox(key="model-a").set_value("xception").run()
    test.toggle(key="compare-test").set_value(True).run()
    assert not test.exception
    shown = text(test)
    assert "They disagree about 2 pictures" in shown and "0.500 (" in shown
    assert "called cartoon" in shown and "-1" in shown


def test_several_pictures_have_a_line_each(fake, picture):
    test = AppTest.from_function(try_it, default_timeout=30)
    test.session_state["pictures"] = [picture, ("b.png", picture[1]), ("c.txt", b"no picture")]
    test.session_state["picture"] = picture
    test.run()
    assert not test.exception
    lines = [one.value for one in test.markdown]
    assert sum("Cartoon, quite sure" in line for line in lines) == 2
    assert any("the file is no JPEG" in line for line in lines)
    test.button(key="look-1").click().run()
    assert "b.png" in text(test)


@pytest.mark.parametrize("size", [(5000, 9), (9, 5000)])
def test_a_picture_of_any_shape(fake, encode, size):
    test = opened(try_it, ("thin.png", encode(np.zeros((size[1], size[0], 3), np.uint8))))
    assert "<b>Cartoon</b>" in text(test)
    small = opened(try_it, ("thin.png", encode(np.zeros((3, 5000, 3), np.uint8))))
    assert "under 8 pixels" in text(small)


def test_sort_corrects_applies_and_undoes(fake, picture, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.png").write_bytes(picture[1])
    (folder / "notes.txt").write_text("no picture")
    test = opened(sort, None)
    test.text_input(key="sort-folder").set_value(str(folder))
    next(one for one in test.button if one.label == "Look through it").click().run()
    assert not test.exception and "notes.txt: the file is no JPEG" in text(test)
    test.button(key="pick-sort-tiles-0").click().run()
    test.button(key="sort-apply").click().run()
    assert not test.exception
    out = tmp_path / "new-sorted"
    placed = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert len(placed) == 2 and {name.split("/")[0] for name in placed} == {"cartoon", "photo"}
    (kept,) = (tmp_path / "data/labelled").rglob("*.png")
    assert kept.parent.name == "photo"
    test.button(key="sort-undo").click().run()
    assert not out.exists() and len(list(folder.glob("*.png"))) == 2


def test_label_gives_names_and_takes_them_back(fake, picture, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture[1])
    test = opened(label, None)
    test.text_input(key="label-folder").set_value(str(folder)).run()
    test.button(key="label-find").click().run()
    assert not test.exception
    test.button(key="label-1").click().run()
    labelled = list((tmp_path / "data/labelled/characters").rglob("*.png"))
    assert len(labelled) == 1 and labelled[0].parent.name in CHARACTERS
    assert f"celflow enroll '{labelled[0].parent.name}'" in test.code[0].value
    test.button(key="label-undo").click().run()
    assert not list((tmp_path / "data/labelled/characters").rglob("*.png"))
    test.button(key="label-skip").click().run()
    test.button(key="label-none").click().run()
    assert [one.value for one in test.success] == ["Every face is done."]
    assert len((tmp_path / "data/labels.jsonl").read_text().splitlines()) == 2


def test_models_promotes_as_the_command_line_does(fake, monkeypatch):
    ran = []
    rows = [
        {"model": "xception", "version": n, "aliases": aliases, "balanced_accuracy": 0.9,
         "created": 1.7e9, "data_hash": "a" * 32, "git_commit": "b" * 40, "gate": ""}
        for n, aliases in ((2, ["challenger"]), (1, ["champion"]))
    ]  # fmt: skip

    def run(words, timeout=60):
        ran.append(list(words))
        if words[0] == "gate":
            return command.Outcome(json.dumps({"passed": False, "reason": "worse"}), "")
        return command.Outcome(json.dumps(rows), "")

    monkeypatch.setattr(command, "run", run)
    test = opened(models, None)
    assert "version 2 available" in text(test)
    test.button(key="promote-gate").click().run()
    assert "holds it back" in text(test) and test.button(key="promote").disabled
    test.text_input(key="promote-reason").set_value("looks better").run()
    test.checkbox(key="promote-sure-xception-2").set_value(True).run()
    test.button(key="promote").click().run()
    assert ["promote", "xception", 2, "--force", "--reason", "looks better"] in ran


def test_models_without_a_registry_is_a_line(fake):
    """No params of MLflow's, no database: the real command says so, and the page with it."""
    test = opened(models, None)
    assert "registry has no models" in text(test)


def test_data_counts_and_quarantine(fake, picture, tmp_path):
    assert "run dvc repro split" in text(opened(data, None)).replace("`", "")
    (tmp_path / "data/split").mkdir(parents=True)
    rows = ["path,label,split,group,sha256", "a.png,cartoon,test,0,x", "b.png,photo,train,0,x"]
    (tmp_path / "data/split/cartoon_or_photo.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "reports").mkdir()
    put_aside = [{"file": "photo/x.jpg", "reason": "empty", "why": "the file is empty"}]
    report = {"cartoon_or_photo": {"quarantine": put_aside}}
    (tmp_path / "reports/clean.json").write_text(json.dumps(report))
    test = opened(data, None)
    shown = text(test)
    assert images(test) == 0 and "<b>x.jpg</b><span>the file is gone</span>" in shown
    assert "2 pictures by class and split" in shown and "1 groups have more than one" in shown
    assert "photo/x.jpg: the file is empty" in shown


def test_what_is_no_picture_has_a_tile_of_words(fake, picture, tmp_path):
    folder = tmp_path / "data/quarantine/cartoon_or_photo/not_an_image/photo"
    folder.mkdir(parents=True)
    (folder / "<i>.jpg").write_bytes(b"no picture")
    (folder / "b.png").write_bytes(picture[1])
    (tmp_path / "reports").mkdir()
    put_aside = [
        {"file": f"photo/{name}", "reason": "not_an_image", "why": "why"}
        for name in ("<i>.jpg", "b.png")
    ]
    report = {"cartoon_or_photo": {"quarantine": put_aside}}
    (tmp_path / "reports/clean.json").write_text(json.dumps(report))
    test = opened(data, None)
    assert images(test) == 1, "the other is a picture"
    assert "<b>&lt;i&gt;.jpg</b><span>the file is no JPEG" in text(test)
    assert "not an image (2)" in str(test.get("button_group")[1].proto)


@pytest.mark.parametrize("page", [sort, label, models])
def test_a_read_only_page_changes_nothing(fake, monkeypatch, page):
    monkeypatch.setenv(command.READ_ONLY, "1")
    outcome = command.Outcome(json.dumps([]), "no registry")
    monkeypatch.setattr(command, "run", lambda *_, **__: outcome)
    test = opened(page, None)
    keys = {one.key for one in test.button}
    assert not keys & {"sort-apply", "label-find", "promote-gate", "rollback"}
    assert "sort-folder" not in {one.key for one in test.text_input}
