"""Train, evaluate, export and register on a small project; each stage in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from celflow import tracking
from celflow.errors import UserError
from celflow.params import load
from stages import clean, evaluate, export, facecrop, register, split, train

from .conftest import ROOT, flat_drawing

pytestmark = pytest.mark.slow


def stage(*words: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run `python -m stages.WORDS` in the project."""
    return subprocess.run(
        [sys.executable, "-m", *words], check=check, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture
def split_project(project):
    params = load(Path("params.yaml"))
    clean.run(params)
    facecrop.run(params)
    split.run(params)
    return project


def weights(folder: Path = Path("models/character_cnn")) -> list[np.ndarray]:
    import keras

    return keras.models.load_model(folder / "model.keras").get_weights()


def test_a_killed_fit_resumes_and_ends_with_the_same_weights(split_project):
    split_project.configure({"train": {"character_cnn": {"epochs": 6, "patience": 6}}})
    stage("stages.train", "character_cnn")
    whole, curve = weights(), Path("plots/train/character_cnn.csv").read_text()

    split_project.configure({"seed": 1})
    split_project.configure({"seed": 7})
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", "character_cnn"], start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout
    with process.stdout as printed:
        reached = any(line.startswith("epoch 3/6") for line in printed)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert reached and Path("checkpoints/character_cnn/last/history.json").is_file()

    resumed = stage("stages.train", "character_cnn")
    assert "resumes after epoch" in resumed.stdout
    assert Path("plots/train/character_cnn.csv").read_text() == curve
    for ours, theirs in zip(weights(), whole, strict=True):
        assert np.array_equal(ours, theirs)
    assert not Path("checkpoints/character_cnn").exists()


def test_what_is_registered_predicts_and_is_registered_once(split_project, capsys):
    def run(*names: str) -> str:
        """The stages in this process, which has TensorFlow; returns what they print."""
        for name in names:
            {"train": train, "evaluate": evaluate, "export": export, "register": register}[
                name
            ].run("character_cnn", load(Path("params.yaml")))
        return capsys.readouterr().out

    run("train", "evaluate")
    stage("stages.export", "character_cnn")
    run("register")
    figures = json.loads(Path("metrics/character_cnn.json").read_text())
    assert figures["pictures"] == sum(figures["recall"].values()) or figures["accuracy"] <= 1
    assert Path("plots/test/character_cnn/sheet.png").stat().st_size > 1000
    card = json.loads(Path("exports/character_cnn/card.json").read_text())
    assert card["labels"] == ["aki", "beni"]

    # exported again: the same content, so the same version
    stage("stages.export", "character_cnn")  # by another process
    assert json.loads(Path("exports/character_cnn/card.json").read_text()) == card
    assert "version 1 (known; champion)" in run("register")

    # other weights: a new version, which waits as challenger
    split_project.configure({"seed": 8})
    assert "version 2 (new; challenger)" in run("train", "evaluate", "export", "register")

    check = """
import pandas as pd, mlflow, sys
from celflow import registry
registry.connect()
data = [open(p, "rb").read() for p in sys.argv[1:]]
for alias in ("champion", "challenger"):
    model = mlflow.pyfunc.load_model(f"models:/character_cnn@{alias}")
    print(model.predict(pd.DataFrame({"image_bytes": data})).to_json(orient="split"))
"""
    faces = sorted(str(path) for path in Path("data/faces").rglob("*.png"))[::5]
    done = subprocess.run(
        [sys.executable, "-c", check, *faces], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(answers) == 2
    for answer in answers:
        assert answer["columns"] == ["aki", "beni"]
        assert np.allclose(np.sum(answer["data"], axis=1), 1, atol=1e-5)

    lineage(split_project)


def lineage(project):
    """What MLflow knows of the two runs and versions."""
    from celflow import registry

    client = registry.connect()
    first, second = registry.get("character_cnn", 1), registry.get("character_cnn", 2)
    assert first.aliases == ("champion",) and second.aliases == ("challenger",)
    for key in ("git_commit", "data_hash", "params_hash", "dvc_stage", "gate", "content"):
        assert first.tags[key], key
    assert first.tags["data_hash"] == second.tags["data_hash"] or project
    run = client.get_run(second.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["epochs"] == "3"
    assert len(client.get_metric_history(second.run_id, "val_loss")) == 3
    contexts = {tag.value for one in run.inputs.dataset_inputs for tag in one.tags}
    assert {"training", "validation", "testing"} <= contexts
    artifacts = {one.path for one in client.list_artifacts(second.run_id)}
    assert {"confusion.png", "curves.png", "sheet.png"} <= artifacts
    with pytest.raises(UserError, match="no version 9: it has 1, 2"):
        registry.get("character_cnn", 9)
    with pytest.raises(UserError, match=r"no model 'vgg' in the registry \(character_cnn\)"):
        registry.get("vgg", 1)


def test_errors_are_one_line(split_project):
    for words, text in [
        (["stages.train", "vgg"], "no model 'vgg'"),
        (["stages.raw"], "no folder nowhere"),
    ]:
        if "raw" in words[0]:
            nowhere = {"characters": "nowhere", "cartoon_or_photo": "nowhere"}
            split_project.configure({"data": nowhere})
        done = stage(*words, check=False)
        assert done.returncode == 1
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and text in errors[0]
        assert "Traceback" not in done.stderr


def test_a_new_file_for_a_character_changes_the_fit_key(split_project):
    from stages.train import fit_key

    params = load(Path("params.yaml"))
    before = fit_key("character_cnn", params)
    assert fit_key("character_cnn", params) == before
    split_project.put("characters/aki/new.png", flat_drawing(999))
    clean.run(params)
    facecrop.run(params)
    split.run(params)
    assert fit_key("character_cnn", params) != before
    changed = split_project.configure({"train": {"character_cnn": {"dropout": 0.1}}})
    assert fit_key("character_cnn", changed) != fit_key("character_cnn", params)


def test_weights_change_the_fit_key_and_a_card_does_not(split_project):
    from stages.train import fit_key

    def keys():
        return fit_key("photo_compact", params), fit_key("colours", params)

    weights, own = Path("ours.npz"), Path("stages/models/photo_compact")
    weights.write_bytes(b"1")
    own.mkdir(parents=True)
    params = split_project.configure({"train": {"photo_compact": {"init": "ours.npz"}}})
    before = keys()
    weights.write_bytes(b"2")
    second = keys()
    (own / "released.npz").write_bytes(b"3")
    third = keys()
    (own / "card.md").write_text("a word")
    assert keys() == third
    assert len({before[0], second[0], third[0]}) == 3
    assert before[1] == second[1] == third[1]


def test_a_fit_that_fails_leaves_its_curve(split_project, monkeypatch):
    from stages import train
    from stages.models.character_cnn.character_cnn import CharacterCnn

    def breaks(self, splits, folder, checkpoint_dir, log):
        log(0, {"loss": 1.5})
        raise UserError("broken")

    monkeypatch.setattr(CharacterCnn, "fit", breaks)
    with pytest.raises(UserError, match="broken"):
        train.run("character_cnn", load(Path("params.yaml")))
    assert Path("plots/train/character_cnn.csv").read_text() == "epoch,loss\n0,1.5\n"
    assert not Path("models/character_cnn").exists()


def test_a_loss_that_is_no_number_ends_the_fit(split_project, monkeypatch):
    from stages.models.character_cnn.character_cnn import CharacterCnn

    def diverges(self, splits, folder, checkpoint_dir, log):
        log(1, {"loss": 1.5, "val_loss": 2.0})
        log(2, {"loss": float("nan"), "val_loss": 2.0})

    monkeypatch.setattr(CharacterCnn, "fit", diverges)
    with pytest.raises(UserError, match=r"loss is nan in epoch 2.* smaller train\.character_cnn"):
        train.run("character_cnn", load(Path("params.yaml")))
    assert not Path("models/character_cnn").exists()
    (run,) = tracking.connect().search_runs(["1"])
    assert run.info.status == "FAILED"
