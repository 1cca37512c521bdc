"""What evaluate, export and register leave behind, and that the served graph agrees with it."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from celflow import manifest, metrics, registry, tracking
from celflow.images import open_image
from celflow.params import load
from celflow.pyfunc import SavedModelFunc
from stages import clean, evaluate, export, facecrop, register, split, train
from stages.models.common import calibration, classification_report, table
from stages.models.threshold_classifiers.colours import Colours

from .conftest import flat_drawing, grainy_photo, make_project

METRICS = {
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


def fit_run() -> mlflow.entities.Run:
    """The MLflow run in which the colour count was trained."""
    key = json.loads(Path("models/colours/fit.json").read_text())["fit_key"]
    (found,) = mlflow.search_runs(
        experiment_names=["colours"], filter_string=f"tags.fit_key = '{key}'", output_format="list"
    )
    return found


def test_all_metrics_and_plots_are_there_and_mlflow_has_them(done):
    measured = json.loads(Path("metrics/colours.json").read_text())
    assert set(measured) == METRICS | {"pictures", "recall"}
    assert measured["temperature"] != 1.0
    assert measured == evaluate.rounded(measured)
    shown = {path.name for path in Path("plots/test/colours").iterdir()}
    assert shown == {"confusion.png", "curves.png", "sheet.png"}
    speed = json.loads(Path("reports/speed/colours.json").read_text())
    assert speed["ms_per_image"] > 0 and speed["size_bytes"] > 10_000

    run = fit_run()
    logged = run.data.metrics
    assert {f"test_{name}" for name in METRICS} | {"test_ms_per_image", "model_mb"} <= set(logged)
    assert round(logged["test_ece"], evaluate.DIGITS) == measured["ece"]
    assert run.info.status == "FINISHED"
    artifacts = {one.path for one in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert shown | {"test.json"} <= artifacts


def test_what_is_made_again_is_the_same_to_the_byte(done):
    """So that DVC and git see a change only where there is one; timings lie outside of both."""
    folders = [Path(name) for name in ("metrics", "plots", "registered")]

    def contents() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file()
        }

    before = contents()
    assert {"metrics/colours.json", "registered/colours.json"} < set(before)
    for stage in (evaluate, register):
        stage.run("colours", load())
    assert contents() == before


def test_curves_behind_the_plots():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([1, 1], 900)
    truth = (rng.random(900) > scores[:, 0]).astype(int)
    test = manifest.Examples([""] * 900, truth, ["cartoon", "photo"])
    tables = classification_report.curves(test, scores)
    assert {kind: list(table.columns) for kind, table in tables.items()} == {
        "roc": ["false_positive_rate", "true_positive_rate"],
        "pr": ["recall", "precision"],
        "reliability": ["confidence", "accuracy", "pictures"],
    }
    assert all(0 < len(table) <= 200 for table in tables.values())


def test_the_served_model_and_the_metrics_agree(done):
    """Scores and verdicts of the SavedModel are those of evaluation."""
    test = manifest.read("cartoon_or_photo")["test"]
    scores = table.create("colours", load()).predictor(Path("models/colours"))(test.paths)
    files = [Path(path).read_bytes() for path in test.paths]
    served = SavedModelFunc(Path("exports/colours/saved_model"))
    answered = served.predict(pd.DataFrame({"image_bytes": files}))
    assert np.allclose(answered.to_numpy(), scores, atol=0.01)
    loaded = tf.saved_model.load("exports/colours/saved_model")
    verdict = loaded.signatures["serving_default"](image_bytes=tf.constant(files))["verdict"]
    measured = json.loads(Path("metrics/colours.json").read_text())
    share = np.mean(verdict.numpy() == b"unsure")
    assert share == pytest.approx(measured["unsure_share"], abs=1.5 / len(test))


def test_another_threshold_needs_no_training(done):
    first = np.linspace(0.02, 0.98, 60)
    truth = (first < 0.5).astype(int)
    calibration.write_validation(Path("models/colours"), truth, np.stack([first, 1 - first], 1))
    bands = []
    for share in (0.0, 0.1, 0.5):
        changes = {"evaluate": {"unsure": {"max_share": share}}}
        evaluate.run("colours", done.configure(changes))
        measured = json.loads(Path("metrics/colours.json").read_text())
        bands.append(measured["unsure_high"] - measured["unsure_low"])
    assert bands[0] < 0.1 < bands[1] < bands[2] < 1


def test_a_model_may_leave_calibration_out(done, monkeypatch):
    monkeypatch.setattr(Colours, "is_calibrated", False)
    train.run("colours", load())
    assert not Path("models/colours/validation.csv").exists()
    evaluate.run("colours", load())
    measured = json.loads(Path("metrics/colours.json").read_text())
    assert (measured["temperature"], measured["unsure_share"]) == (1.0, 0.0)
    export.run("colours", load())


def test_a_run_that_mlflow_has_lost_is_replaced(done):
    """The model may have come by `dvc pull`: its metrics find a run all the same, and only one."""
    key = json.loads(Path("models/colours/fit.json").read_text())["fit_key"]
    lost = [
        run.info.run_id
        for run in mlflow.search_runs(experiment_names=["colours"], output_format="list")
    ]
    for run_id in lost:
        mlflow.MlflowClient().delete_run(run_id)
    evaluate.run("colours", load())
    export.run("colours", load())
    assert fit_run().data.tags["fit_key"] == key
    assert {"test_accuracy", "test_ms_per_image"} <= set(fit_run().data.metrics)


def test_a_version_is_described_by_its_real_figures(done):
    accuracy = json.loads(Path("metrics/colours.json").read_text())["accuracy"]
    version = registry.get("colours", 1)
    found = tracking.connect().get_model_version("colours", "1").description
    assert f"| accuracy | {accuracy} |" in found
    assert "It knows 2 classes: cartoon, photo." in found
    assert version.tags["data_hash"][:12] in found


def test_metrics_are_rounded_however_deep():
    value = {
        "accuracy": 0.123456, "pictures": 12, "few": 1e-9, "name": "x", "nan": float("nan"),
        "recall": {"aki": 2 / 3, "deep": {"beni": 1.00004999}},
    }  # fmt: skip
    rounded = evaluate.rounded(value)
    assert np.isnan(rounded.pop("nan"))
    assert rounded == {
        "accuracy": 0.1235, "pictures": 12, "few": 0.0, "name": "x",
        "recall": {"aki": 0.6667, "deep": {"beni": 1.0}},
    }  # fmt: skip
    assert isinstance(rounded["pictures"], int)
    assert value["accuracy"] == 0.123456
    assert evaluate.rounded(rounded) == rounded


def test_a_model_that_knows_nobody_is_shown_too(project):
    """One column more than labels goes through every table and picture."""
    paths = [str(path) for path in sorted((project.raw / "characters").rglob("*.png"))]
    truth = np.arange(len(paths)) % 2
    scores = np.random.default_rng(0).dirichlet([1, 1, 1], len(paths))
    test = manifest.Examples(paths, truth, ["aki", "beni"])
    assert metrics.answers(test.labels, scores) == ["aki", "beni", "unknown"]
    drawn = classification_report.draw(test, scores, 6)
    assert set(drawn) == {"confusion", "curves", "sheet"}
    for png in drawn.values():
        assert open_image(png).pixels.std() > 0
    assert drawn == classification_report.draw(test, scores, 6)  # no time of day inside
