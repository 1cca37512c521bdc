from pathlib import Path

import pytest
import yaml

from celflow.errors import UserError
from celflow.params import load

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


def test_every_knob_has_a_comment_where_it_comes_first():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    knobs = [line for line in lines if ": " in line.split("#")[0] and not line.startswith("#")]
    first = {line.split(":")[0].strip(): line for line in reversed(knobs) if "{ task:" not in line}
    assert [line for line in first.values() if "#" not in line] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["train"]["xception"].update(epoch=3), "unknown key 'train.xception.epoch'"),
        (lambda c: c["train"]["xception"].update(epochs="three"), "train.xception.epochs"),
        (lambda c: c["train"]["xception"].update(epochs=0), "greater than 0"),
        (lambda c: c.pop("split"), "'split' is missing"),
        (lambda c: c["clean"].update(policy="strict"), "clean.policy"),
        (lambda c: c["split"].update(source="^x"), "group"),
        (
            lambda c: c["models"].update(x={"task": "none", "pictures": "characters"}),
            "models.x.task",
        ),
        (lambda c: c["split"].update(source="("), "split.source"),
        (lambda c: c["split"].update(test_sources="("), "split.test_sources"),
        (lambda c: c["evaluate"]["unsure"].update(error=0), "evaluate.unsure.error"),
        (lambda c: c["train"]["xception"].update(learning_rate="1e-3"), "write 1.0e-3"),
        (lambda c: c["train"]["sketchify"].update(patch=512), "larger than image_size, 256"),
        (
            lambda c: c["train"]["photo_inception"].update(tap="mixed11"),
            "params.yaml: 'train.photo_inception.tap' = 'mixed11': input should be 'mixed0',",
        ),
        (lambda c: c["train"]["colours"].update(threshold="foo"), "'train.colours.threshold' ="),
    ],
)
def test_a_wrong_key_or_value_is_named_in_one_line(tmp_path, change, words):
    with pytest.raises(UserError) as error:
        load(write(tmp_path, change))
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
