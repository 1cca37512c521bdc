"""`split.test: 0` and `split.val: 0`: every stage runs without, and says what it can't tell."""

import json
from pathlib import Path

import mlflow
import pytest

from celflow import params, registry
from celflow.params import load
from cli import registry_commands
from promotion import gate
from stages import clean, evaluate, export, facecrop, register, split, train
from stages.models.common import saved_model

from .conftest import make_project

pytestmark = pytest.mark.slow
MODELS = ("colours", "xception", "character_cnn")
CHANGES = {
    "split": {"test": 0, "val": 0},
    "train": {"character_cnn": {"trainer": "model_fit", "epochs": 2}, "xception": {"epochs": 2}},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Three models, trained on all pictures by each way of training, and registered."""
    project = make_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        settings = project.configure(CHANGES)
        for stage in (clean, facecrop, split):
            stage.run(settings)
        for model in MODELS:
            for stage in (train, evaluate, export, register):
                stage.run(model, settings)
        yield project
    mlflow.set_tracking_uri(None)


@pytest.mark.parametrize("model", MODELS)
def test_what_dvc_expects_is_there(done, model):
    assert json.loads(Path(f"metrics/{model}.json").read_text()) == {"pictures": 0}
    assert list(Path(f"plots/test/{model}").iterdir()) == []
    assert json.loads(Path(f"registered/{model}.json").read_text())["version"] == 1
    assert not Path(f"models/{model}/validation.csv").exists()


@pytest.mark.parametrize("model", ["xception", "character_cnn"])
def test_all_epochs_are_trained_and_none_is_validated(done, model):
    header, *epochs = Path(f"plots/train/{model}.csv").read_text().splitlines()
    assert len(epochs) == 2
    assert "accuracy" in header and "val_" not in header


def test_evaluate_says_what_it_cannot_tell(done, capsys):
    evaluate.run("colours", load())
    printed = capsys.readouterr().out
    assert "not measured" in printed and "split.test" in printed


def test_the_gate_lets_nothing_pass_that_it_cannot_compare(done):
    first = registry.get("colours", 1)
    with registry.saved_model(first) as source:
        (source / "assets").mkdir(exist_ok=True)
        (source / "assets/note.txt").write_text("another content")
        second, _ = registry.register(
            "colours", first.run_id, source, saved_model.digest(source), first.tags
        )
    verdict = gate.compare(first, second, params.load())
    assert not verdict.passed and "no test pictures" in verdict.reason
    assert gate.compare(None, first, params.load()).passed


def test_versions_are_listed_without_a_metric(done, capsys):
    registry_commands.models()
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "xception" in line]
    assert line.split()[:4] == ["xception", "1", "champion", "-"]
