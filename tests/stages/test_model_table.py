"""From a line of the table of models in params.yaml to a model: what is there, what is refused."""

import sys

import pytest
import yaml

from celflow.errors import UserError
from celflow.params import CLASSIFICATION_TASKS, Params, load
from stages.models.common import table
from stages.models.common.model import Classifier, ImageToImage
from stages.models.face_detector import FaceDetector

from .conftest import ROOT

PROJECT = load(ROOT / "params.yaml")


def params(change) -> Params:
    """The project's params.yaml after `change(content)`."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    change(content)
    return Params.model_validate(content)


def refused(name: str, change) -> str:
    """The one line by which a changed params.yaml is refused when the model `name` is made."""
    with pytest.raises(UserError) as error:
        table.create(name, params(change))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", PROJECT.models)
def test_every_model_of_the_table_is_made(name):
    model = table.create(name, PROJECT)
    task = PROJECT.task(name)
    other = FaceDetector if task == "faces" else ImageToImage
    assert isinstance(model, Classifier if task in CLASSIFICATION_TASKS else other)
    assert (model.name, type(model.config)) == (name, type(model).config_class)


def test_every_section_of_train_belongs_to_a_model():
    assert set(PROJECT.train) == set(PROJECT.models)


def test_an_unknown_model_is_named():
    assert refused("vgg", lambda c: None).startswith(
        "no model 'vgg': params.yaml has photo_compact, "
    )


@pytest.mark.parametrize(
    ("name", "task", "made_for"),
    [
        ("xception", "sketch", "cartoon_or_photo or characters"),
        ("character_embedding", "cartoon_or_photo", "characters"),
        ("photo_inception", "characters", "cartoon_or_photo"),
        ("edges", "characters", "cartoon_or_photo"),
        ("sketchify", "characters", "sketch"),
        ("cartoonizer", "sketch", "cartoonize"),
    ],
)
def test_a_wrong_task_is_refused(name, task, made_for):
    words = refused(name, lambda c: c["models"][name].update(task=task))
    assert words == f"{name} is made for {made_for}: its task in params.yaml can't be '{task}'"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("stages/models/nowhere", "brings no model: No module named"),
        ("stages/models/common", "brings no model"),
        ("stages/models/threshold_classifiers", "brings colours, gradient, edges only"),
    ],
)
def test_code_that_brings_no_such_model_is_refused(code, words):
    told = refused("xception", lambda c: c["models"]["xception"].update(code=code))
    assert told.startswith(f"models.xception.code '{code}' ") and words in told


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("xception", {"nonsense": 1}, "unknown key 'train.xception.nonsense'"),
        ("xception", {"augment": {"hue": 0.1}}, "unknown key 'train.xception.augment.hue'"),
        ("xception", {"epochs": "three"}, "'train.xception.epochs' = 'three': "),
        ("xception", {"epochs": 0}, "'train.xception.epochs' = 0: input should be greater than 0"),
        ("xception", {"epochs": None}, "'train.xception.epochs' = None"),
        ("xception", {"learning_rate": "1e-3"}, "write 1.0e-3, not 1e-3"),
        ("xception", {"trainer": "loop"}, "'train.xception.trainer' = 'loop': input should be"),
        ("colours", {"threshold": "foo"}, "'train.colours.threshold' = 'foo': "),
        ("edges", {"block": 4}, "'train.edges.block' = 4: value error, must be odd"),
        ("sketchify", {"patch": 512}, "larger than image_size, 256"),
        ("cartoonizer", {"weights": {}}, "'train.cartoonizer.weights.surface' is missing"),
        ("photo_inception", {"tap": "mixed11"}, "'train.photo_inception.tap' = 'mixed11': "
         "input should be 'mixed0',"),
        ("character_embedding", {"false_alarms": 1}, "'train.character_embedding.false_alarms'"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_refused_by_its_full_key(name, change, words):
    told = refused(name, lambda c: c["train"][name].update(change))
    assert told.startswith("params.yaml: ") and words in told
    if name != "cartoonizer":
        assert ";" not in told, "one fault is named once"


def test_a_missing_key_is_refused_by_its_full_key():
    told = refused("xception", lambda c: c["train"]["xception"].pop("width"))
    assert told == "params.yaml: 'train.xception.width' is missing"


TINY = """
from celflow.params import Section
from stages.models.common.model import ImageToImage

class TinyConfig(Section):
    size: int

class Tiny(ImageToImage[TinyConfig]):
    config_class = TinyConfig
    fit = predictor = measure = export = None

MODELS = {"tiny": Tiny}
"""


def test_one_class_alone_may_have_any_name(tmp_path, monkeypatch):
    """A second section of params.yaml tries the same model with other settings."""
    folder = tmp_path / "tiny_models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(TINY)
    monkeypatch.syspath_prepend(tmp_path)
    sizes = {"tiny": 1, "tiny_large": 9}

    def change(content: dict) -> None:
        for name, size in sizes.items():
            content["models"][name] = {
                "task": "sketch", "dataset": "cartoon_or_photo", "code": "tiny_models/tiny",
            }  # fmt: skip
            content["train"][name] = {"size": size}

    made = {name: table.create(name, params(change)) for name in sizes}
    assert {name: model.config.size for name, model in made.items()} == sizes
    assert made["tiny"].name == "tiny" and made["tiny_large"].name == "tiny_large"
    for module in [name for name in sys.modules if name.startswith("tiny_models")]:
        del sys.modules[module]


def test_code_that_cannot_be_imported_says_what_it_lacks(tmp_path, monkeypatch):
    folder = tmp_path / "lacking_models"
    folder.mkdir()
    (folder / "__init__.py").write_text("import a_package_that_is_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = refused("xception", lambda c: c["models"]["xception"].update(code="lacking_models"))
    assert "No module named 'a_package_that_is_not_installed'" in told
