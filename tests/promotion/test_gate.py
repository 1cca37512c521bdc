"""The gate: whose metrics count, when a version is measured again, and the verdict."""

from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from celflow import manifest, registry
from celflow.params import Params, load
from promotion import gate
from stages import clean, evaluate, export, facecrop, register, split, train

from ..stages.conftest import ROOT, Project, make_project

TEST_SET = "f00d" * 8  # a digest


def version(number: int, accuracy: float, **tags: str) -> registry.RegisteredVersion:
    """A version with a logged metric, on the test set of today unless `tags` say otherwise."""
    return registry.RegisteredVersion(
        model="xception", version=number, aliases=(), run_id="", created=0.0,
        tags={"test_hash": TEST_SET, **tags}, metrics={"balanced_accuracy": accuracy},
    )  # fmt: skip


@pytest.fixture
def params(monkeypatch) -> Params:
    """Of the project; the digest of its test set is `TEST_SET`, and measuring gives 0.5."""
    monkeypatch.setattr(gate.lineage, "test_hash", lambda dataset: TEST_SET)
    monkeypatch.setattr(gate, "measure", lambda *_: {"balanced_accuracy": 0.5})
    return load(ROOT / "params.yaml")


def test_the_first_champion_needs_no_comparison(params):
    only = version(1, 0.1)
    assert gate.compare(None, only, params).passed
    assert gate.compare(only, only, params).passed


@pytest.mark.parametrize(
    ("below", "passed"), [(-0.1, True), (0.0, True), (0.9, True), (1.1, False), (10, False)]
)
def test_the_tolerance_decides(params, below, passed):
    """below: the champion's metric, in tolerances."""
    candidate = version(2, 0.8 - below * params.registry.tolerance)
    verdict = gate.compare(version(1, 0.8), candidate, params)
    assert verdict.passed is passed
    for word in ("balanced_accuracy", "champion 1 has 0.8000", TEST_SET[:8]):
        assert word in verdict.reason


def test_a_metric_of_another_test_set_is_measured_again(params):
    old = version(1, 0.99, test_hash="dead" * 8)
    verdict = gate.compare(old, version(2, 0.6), params)
    assert verdict.passed and "champion 1 has 0.5000" in verdict.reason
    assert not gate.compare(old, replace(version(2, 0.4)), params).passed


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Project:
    """A project with a threshold classifier and a CNN, trained, measured and registered."""
    project = make_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        params = load()
        for stage in (clean, facecrop, split):
            stage.run(params)
        for model in ("colours", "character_cnn"):
            for stage in (train, evaluate, export, register):
                stage.run(model, params)
        yield project
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["colours", "character_cnn"])
def test_what_is_measured_is_what_evaluate_logged(trained, model):
    found = registry.get(model, 1)
    pictures = len(manifest.read(load().dataset(model))["test"])
    measured = gate.measure(found, load())
    assert measured["pictures"] == pictures
    assert measured["accuracy"] == pytest.approx(found.metrics["accuracy"], abs=1.5 / pictures)
    assert measured["ece"] == pytest.approx(found.metrics["ece"], abs=0.03)
    if model == "character_cnn":
        logged = found.metrics["balanced_accuracy"]
        assert measured["balanced_accuracy"] == pytest.approx(logged)


@pytest.mark.slow
def test_two_registered_versions_are_compared(trained, monkeypatch):
    first = registry.get("character_cnn", 1)
    second = replace(first, version=2, metrics={"balanced_accuracy": 0.0})
    assert gate.compare(first, replace(first, version=2), load()).passed
    assert not gate.compare(first, second, load()).passed
    # A picture fewer in the test set: what was logged counts no longer, and both are measured.
    table = Path("data/split/characters.csv")
    lines = table.read_text().splitlines(keepends=True)
    gone = next(i for i, line in enumerate(lines) if ",test," in line)
    table.write_text("".join(lines[:gone] + lines[gone + 1 :]))
    measured = []
    monkeypatch.setattr(
        gate, "measure",
        lambda asked, params: measured.append(asked.version) or {"balanced_accuracy": 0.7},
    )  # fmt: skip
    assert gate.compare(first, second, load()).passed
    assert measured == [2, 1]
    table.write_text("".join(lines))
