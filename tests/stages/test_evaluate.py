"""What evaluate, export and register leave behind, and that the served graph agrees with it."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml

from celflow import metrics
from celflow.params import load
from celflow.pyfunc import SavedModelFunc
from stages import clean, evaluate, export, facecrop, manifest, models, register, split, train
from stages.models import calibration

from .conftest import ROOT, flat_drawing, grainy_photo, make_project

FIGURES = {
    "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "balanced_accuracy_low",
    "balanced_accuracy_high", "log_loss", "ece", "auroc", "average_precision", "temperature",
    "bias", "unsure_low", "unsure_high", "unsure_share", "decided_accuracy",
    "decided_balanced_accuracy",
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The colour count, trained on enough pictures to be calibrated, measured and registered."""
    project = make_project(tmp_path_factory.mktemp("project"))
    for i in range(20, 90):
        project.put(f"cartoon_or_photo/cartoon/d{i}.png", flat_drawing(i))
        project.put(f"cartoon_or_photo/photo/p{i}.jpg", grainy_photo(i))
    for i in range(90, 104):  # drawings that are to be taken for photographs
        project.put(f"cartoon_or_photo/photo/p{i}.png", flat_drawing(i))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        params = project.configure({})
        for stage in (clean, facecrop, split):
            stage.run(params)
        for stage in (train, evaluate, export, register):
            stage.run("colours", params)
        yield project
    mlflow.set_tracking_uri(None)


def test_all_figures_and_plots_are_there_and_mlflow_has_them(done):
    figures = json.loads(Path("metrics/colours.json").read_text())
    assert set(figures) == FIGURES | {"pictures", "recall"}
    assert figures["temperature"] != 1.0
    for kind, columns in (
        ("roc", ["false_positive_rate", "true_positive_rate"]),
        ("pr", ["recall", "precision"]),
        ("reliability", ["confidence", "accuracy", "pictures"]),
        ("confusion", ["actual", "predicted"]),
    ):
        table = pd.read_csv(f"plots/test/colours/{kind}.csv")
        assert list(table.columns) == columns and 0 < len(table) <= 200
    speed = json.loads(Path("reports/speed/colours.json").read_text())
    assert speed["ms_per_image"] > 0 and speed["size_bytes"] > 10_000

    run_id = json.loads(Path("runs/colours.json").read_text())["run_id"]
    run = mlflow.MlflowClient().get_run(run_id)
    logged = run.data.metrics
    assert {f"test_{name}" for name in FIGURES} | {"test_ms_per_image", "model_mb"} <= set(logged)
    assert logged["test_ece"] == figures["ece"]
    assert run.info.status == "FINISHED"
    artifacts = {one.path for one in mlflow.MlflowClient().list_artifacts(run_id)}
    assert {"curves.png", "confusion.png", "sheet.png", "test.json"} <= artifacts


def test_the_served_model_and_the_metrics_agree(done):
    """Scores and verdicts of the SavedModel are those of evaluation."""
    test = manifest.read("cartoon_or_photo")["test"]
    calibrated = calibration.load("colours", load())
    scores = calibration.predict("colours", test.paths, calibrated)
    files = [Path(path).read_bytes() for path in test.paths]
    served = SavedModelFunc(Path("exports/colours/saved_model"))
    answered = served.predict(pd.DataFrame({"image_bytes": files}))
    assert np.allclose(answered.to_numpy(), scores, atol=0.01)
    loaded = tf.saved_model.load("exports/colours/saved_model")
    verdict = loaded.signatures["serving_default"](image_bytes=tf.constant(files))["verdict"]
    figures = json.loads(Path("metrics/colours.json").read_text())
    share = np.mean(verdict.numpy() == b"unsure")
    assert share == pytest.approx(figures["unsure_share"], abs=1.5 / len(test))


def test_another_threshold_needs_no_training(done):
    first = np.linspace(0.02, 0.98, 60)
    truth = (first < 0.5).astype(int)
    calibration.write_validation(Path("models/colours"), truth, np.stack([first, 1 - first], 1))
    bands = []
    for most in (0.0, 0.1, 0.5):
        evaluate.run("colours", done.configure({"evaluate": {"unsure": {"most": most}}}))
        figures = json.loads(Path("metrics/colours.json").read_text())
        bands.append(figures["unsure_high"] - figures["unsure_low"])
    assert bands[0] < 0.1 < bands[1] < bands[2] < 1


def test_a_family_may_leave_calibration_out(done, monkeypatch):
    monkeypatch.setattr(models.family("colours"), "calibrates", False, raising=False)
    train.run("colours", load())
    assert not Path("models/colours/validation.csv").exists()
    evaluate.run("colours", load())
    figures = json.loads(Path("metrics/colours.json").read_text())
    assert (figures["temperature"], figures["unsure_share"]) == (1.0, 0.0)
    export.run("colours", load())


def test_every_model_of_a_task_is_in_its_overlays():
    """So that a new model is compared in one picture with the old ones."""
    models_of = yaml.safe_load((ROOT / "params.yaml").read_text())["models"]
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    shown = [one for one in plots if isinstance(one, dict)]
    overlays = {
        name: set(plot["y"])
        for one in shown
        for name, plot in one.items()
        if "y" in plot and isinstance(plot["y"], dict)
    }
    for task, words in (("cartoon_or_photo", "cartoon or photo"), ("characters", "characters")):
        names = [name for name, model in models_of.items() if model["task"] == task]
        for kind, title in (("roc", "ROC"), ("pr", "Precision and recall"),
                            ("reliability", "Reliability")):  # fmt: skip
            expected = {f"plots/test/{name}/{kind}.csv" for name in names}
            assert overlays[f"{title}, {words}"] == expected


def test_a_model_that_knows_nobody_is_shown_too(tmp_path, project):
    """One column more than labels goes through every table and picture."""
    paths = [str(path) for path in sorted((project.raw / "characters").rglob("*.png"))]
    truth = np.arange(len(paths)) % 2
    scores = np.random.default_rng(0).dirichlet([1, 1, 1], len(paths))
    test = manifest.Examples(paths, truth, ["aki", "beni"])
    tables = evaluate.plots(test, scores)
    assert set(tables["confusion"]["predicted"]) <= {"aki", "beni", "unknown"}
    evaluate.mistakes_sheet(test, scores, 6, tmp_path / "sheet.png")
    names = metrics.answers(test.labels, scores)
    evaluate.confusion_figure(metrics.confusion(truth, scores), names)
    assert evaluate.curves_figure(tables).axes
