"""Experiments that DVC runs in copies of the project share its MLflow."""

import pytest

pytestmark = pytest.mark.slow


def test_queued_experiments_can_be_compared_in_mlflow(trained):
    """One value of a parameter queued and run, another beside the workspace, with --temp."""
    run = ("dvc", "exp", "run")
    words = ["-S", "train.colours.threshold=0.21", "-n", "at-21"]
    trained.run(*run, "--queue", *words, "evaluate@colours")
    trained.run(*run, "--run-all")
    words = ["-S", "train.colours.threshold=0.23", "-n", "at-23"]
    trained.run(*run, "--temp", *words, "evaluate@colours")

    code = (
        "import mlflow; from celflow import registry; registry.connect();"
        "runs = mlflow.search_runs(experiment_names=['colours'],"
        " filter_string=\"params.threshold LIKE '0.2%'\");"
        "columns = ['params.threshold', 'metrics.test_accuracy', 'artifact_uri'];"
        "print(runs[columns].to_csv(header=False, index=False))"
    )
    lines = trained.run("python", "-c", code).stdout.split()
    assert sorted(line.split(",")[0] for line in lines) == ["0.21", "0.23"]
    for line in lines:
        _, accuracy, artifacts = line.split(",")
        assert 0 <= float(accuracy) <= 1
        assert artifacts.startswith((trained.folder / "mlartifacts").as_uri())
    shown = trained.run("dvc", "exp", "show", "--csv").stdout
    assert all(name in shown for name in ("at-21", "at-23"))
