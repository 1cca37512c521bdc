from pathlib import Path

import pytest
import yaml

from celflow.errors import UserError
from celflow.params import load
from stages.models.common import table

ROOT = Path(__file__).parents[2]


def write(folder, change):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    change(content)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_projects_own_parameters_are_valid():
    params = load(ROOT / "params.yaml")
    assert params.task("xception") == "cartoon_or_photo"


def test_every_setting_has_a_comment_where_it_comes_first():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    settings = [line for line in lines if ": " in line.split("#")[0] and not line.startswith("#")]
    first = {
        line.split(":")[0].strip(): line for line in reversed(settings) if "{ task:" not in line
    }
    assert [line for line in first.values() if "#" not in line] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["train"].pop("xception"), "'train.xception' is missing"),
        (lambda c: c["clean"].update(min_side=0), "greater than 0"),
        (lambda c: c["registry"].update(margin="1e-3"), "write 1.0e-3"),
        (lambda c: c.pop("split"), "'split' is missing"),
        (lambda c: c["clean"].update(policy="strict"), "clean.policy"),
        (lambda c: c["split"].update(source="^x"), "group"),
        (
            lambda c: c["models"]["xception"].update(task="none"),
            "models.xception.task",
        ),
        (lambda c: c["split"].update(source="("), "split.source"),
        (lambda c: c["split"].update(test_sources="("), "split.test_sources"),
        (lambda c: c["split"].update(test=0.01), "split.test' = 0.01"),
        (lambda c: c["split"].update(val=0.7), "split.val"),
        (lambda c: c["evaluate"]["unsure"].update(max_error=0), "evaluate.unsure.max_error"),
    ],
)
def test_a_wrong_key_or_value_is_named_in_one_line(tmp_path, change, words):
    with pytest.raises(UserError) as error:
        load(write(tmp_path, change))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert ";" not in str(error.value), "one fault is named once"


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        ("xception", {"epoch": 3}, "unknown key 'train.xception.epoch'"),
        ("xception", {"epochs": "three"}, "train.xception.epochs"),
        ("xception", {"epochs": 0}, "greater than 0"),
        ("xception", {"learning_rate": "1e-3"}, "write 1.0e-3"),
        ("sketchify", {"patch": 512}, "larger than image_size, 256"),
        (
            "photo_inception",
            {"tap": "mixed11"},
            "params.yaml: 'train.photo_inception.tap' = 'mixed11': input should be 'mixed0',",
        ),
        ("colours", {"threshold": "foo"}, "'train.colours.threshold' ="),
    ],
)
def test_a_wrong_setting_of_a_model_is_named_in_one_line(tmp_path, model, change, words):
    params = load(write(tmp_path, lambda c: c["train"][model].update(change)))
    with pytest.raises(UserError) as error:
        table.create(model, params)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert ";" not in str(error.value), "one fault is named once"


def test_missing_or_broken_file(tmp_path):
    with pytest.raises(UserError, match="run from the project's folder"):
        load(tmp_path / "params.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1, 2")
    with pytest.raises(UserError, match="no YAML"):
        load(broken)
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    with pytest.raises(UserError, match="the file"):
        load(empty)


def test_unknown_model():
    with pytest.raises(UserError, match=r"no model 'vgg'.*xception"):
        load(ROOT / "params.yaml").task("vgg")


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("character_inception", "weights"), ("cartoonizer", "features"), ("cartoonizer", "init"),
        ("sketchify", "init"), ("photo_compact", "init"), ("character_embedding", "init"),
        ("face_detector", "init"),
    ],
)  # fmt: skip
def test_weights_may_lie_in_the_home_folder(tmp_path, monkeypatch, model, setting):
    monkeypatch.setenv("HOME", str(tmp_path))
    change = {setting: "~/weights.h5"}
    params = load(write(tmp_path, lambda c: c["train"][model].update(change)))
    config = table.create(model, params).config
    assert getattr(config, setting) == str(tmp_path / "weights.h5")


def test_the_path_of_inceptions_weights_stands_in_one_place(tmp_path):
    """With another there, all models that begin with them take it."""
    text = (ROOT / "params.yaml").read_text()
    assert text.count("weights: &inception none") == 1
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("&inception none", "&inception ours.h5"))
    params = load(path)
    begin = [name for name, line in params.models.items() if line.code.endswith("/inception")]
    assert len(begin) >= 2
    assert {params.train[name]["weights"] for name in begin} == {"ours.h5"}
