"""The list of raw pictures, and datasets that have none."""

import json
from pathlib import Path

import pandas as pd
import pytest

from celflow import manifest
from celflow.errors import UserError
from celflow.params import load
from stages import clean, evaluate, export, facecrop, no_pictures, raw, register, split, train

from .conftest import grainy_photo

STAGES_OF_A_MODEL = (train, evaluate, export, register)


def listed() -> pd.DataFrame:
    raw.run(load())
    return pd.read_csv("data/raw.csv")


def prepare(params) -> None:
    for stage in (raw, clean, facecrop, split):
        stage.run(params)


def test_the_list_changes_with_a_file_and_with_nothing_else(project):
    before = listed()
    assert before["dataset"].value_counts().to_dict() == {"cartoon_or_photo": 28, "characters": 24}
    (project.raw / "characters").rename(project.folder / "moved")
    project.configure({"data": {"characters": str(project.folder / "moved")}})
    assert listed().equals(before), "where the folder lies does not count"
    (project.folder / "moved/aki/a0.png").write_bytes(b"another")
    changed = listed()
    assert changed["file"].equals(before["file"])
    assert (changed["sha256"] != before["sha256"]).sum() == 1


def test_the_home_folder_may_stand_as_a_tilde(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project.folder))
    before = listed()
    params = project.configure(
        {"data": {"characters": "~/raw/characters"}, "facecrop": {"cascade": "~/c.xml"}}
    )
    assert params.data.folder("characters") == project.raw / "characters"
    assert params.facecrop.cascade == str(project.folder / "c.xml")
    assert listed().equals(before)


def test_no_folder_at_all_is_an_error_in_one_line(project):
    project.configure({"data": {"characters": "nowhere", "cartoon_or_photo": None}})
    with pytest.raises(UserError) as error:
        raw.run(load())
    assert "no folder nowhere: see data.characters in params.yaml" in str(error.value)
    assert "data.cartoon_or_photo in params.yaml is null" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("folder", [None, "nowhere"])
@pytest.mark.parametrize("dataset", ["cartoon_or_photo", "characters"])
def test_one_dataset_alone_is_listed_cleaned_and_split(project, capsys, dataset, folder):
    prepare(project.configure({"data": {dataset: folder}}))
    (other,) = {"cartoon_or_photo", "characters"} - {dataset}
    assert set(pd.read_csv("data/raw.csv")["dataset"]) == {other}
    said = capsys.readouterr().err
    assert f"no pictures of {dataset}: " in said and f"data.{dataset} in params.yaml" in said
    nothing, something = manifest.read(dataset), manifest.read(other)
    assert not any(map(len, nothing.values()))
    assert len(something["train"]) and len(something["test"])
    assert json.loads(Path("reports/split.json").read_text())[dataset]["pictures"] == 0


@pytest.fixture
def without_characters(project):
    params = project.configure({"data": {"characters": None}})
    prepare(params)
    return params


def test_a_model_without_pictures_is_left_out_and_said(without_characters, capsys):
    for stage in STAGES_OF_A_MODEL:
        stage.run("character_cnn", without_characters)
        said = capsys.readouterr().out
        assert said == "character_cnn: left out, data.characters in params.yaml is null\n"
    for folder in ("models/character_cnn", "exports/character_cnn", "plots/test/character_cnn"):
        assert list(Path(folder).iterdir()) == []
    for file in ("metrics/character_cnn.json", "registered/character_cnn.json"):
        assert json.loads(Path(file).read_text()) == {}
    assert len(pd.read_csv("plots/train/character_cnn.csv")) == 0
    assert not no_pictures.skips("xception", without_characters)


def test_a_folder_that_is_not_there_is_an_error_of_its_models(project):
    params = project.configure({"data": {"characters": "nowhere"}})
    prepare(params)
    for stage in STAGES_OF_A_MODEL:
        with pytest.raises(UserError, match=r"character_cnn .* no folder nowhere: see data\.char"):
            stage.run("character_cnn", params)
    assert not Path("models/character_cnn").exists()
    project.put("characters/aki/a0.png", grainy_photo(0))
    there = project.configure({"data": {"characters": "raw/characters"}})
    with pytest.raises(UserError, match="run `dvc repro split`"):
        train.run("character_cnn", there)


@pytest.mark.parametrize("names", [("anime", "photo"), ("Cartoon", "Photo"), ("cartoon",)])
def test_classes_of_other_names_are_told_before_anything_is_done(project, names):
    (project.raw / "cartoon_or_photo").rename(project.folder / "theirs")
    for name in names:
        project.put(f"cartoon_or_photo/{name}/a.png", grainy_photo(0))
    with pytest.raises(UserError, match=rf"has the classes {', '.join(names)}.* cartoon and photo"):
        raw.run(load())
