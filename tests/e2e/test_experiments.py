"""Experiments that DVC runs in copies of the project share its MLflow."""

import pytest

pytestmark = pytest.mark.slow


def test_a_queued_experiment_is_in_mlflow(trained):
    """A value of a parameter, queued and run beside the workspace."""
    run = ("dvc", "exp", "run")
    words = ["-S", "train.colours.threshold=0.21", "-n", "at-21"]
    trained.run(*run, "--queue", *words, "evaluate@colours")
    trained.run(*run, "--run-all")

    code = (
        "import mlflow; from celflow import registry; registry.connect();"
        "runs = mlflow.search_runs(experiment_names=['colours'],"
        " filter_string=\"params.threshold LIKE '0.2%'\");"
        "columns = ['params.threshold', 'metrics.test_accuracy', 'artifact_uri'];"
        "print(runs[columns].to_csv(header=False, index=False))"
    )
    lines = trained.run("python", "-c", code).stdout.split()
    assert sorted(line.split(",")[0] for line in lines) == ["0.21"]
    for line in lines:
        _, accuracy, artifacts = line.split(",")
        assert 0 <= float(accuracy) <= 1
        assert artifacts.startswith((trained.folder / "mlartifacts").as_uri())
    shown = trained.run("dvc", "exp", "show", "--csv").stdout
    assert "at-21" in shown
