"""The gate: versions are tried in a server of their own, and what it says is kept."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from celflow import manifest, registry
from celflow.errors import UserError
from celflow.images import encode_png
from celflow.params import load
from promotion import answers, diff_sheet, gate, paired, trial
from promotion.served_folder import SERVED, materialize
from serving.client import BadInput, Prediction
from stages import clean, evaluate, export, facecrop, register, split, train

from ..stages.conftest import ROOT, Project, make_project
from .conftest import make_tiny
from .tiny import Bright, TinyProject

PICTURES = 60


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, saved, store) -> TinyProject:
    """Dark pictures, called cartoons, and bright ones, called photos; b0 is right about all."""
    with pytest.MonkeyPatch.context() as patch:
        project = make_tiny(tmp_path_factory.mktemp("gate"), saved, store, patch)
        rows = []
        for number in range(PICTURES):
            level = 60 + 130 * (number % 2) + number // 2
            path = Path(f"data/{number}.png")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode_png(np.full((16, 16, 3), level, np.uint8)))
            rows.append((str(path), ("cartoon", "photo")[number % 2], "test", "", ""))
        Path("data/split").mkdir()
        table = pd.DataFrame(rows, columns=manifest.COLUMNS)
        table.to_csv("data/split/cartoon_or_photo.csv", index=False)
        project.register("xception", "b0")
        yield project


def add(name: str, model: tf.Module, **signatures: object) -> registry.RegisteredVersion:
    folder = Path("made") / name
    tf.saved_model.save(model, str(folder), {"serving_default": model.classify, **signatures})
    project = TinyProject(Path.cwd(), Path.cwd() / "made")
    return project.register("xception", name)


def compare(candidate: registry.RegisteredVersion, **options: float) -> gate.Verdict:
    return gate.compare(registry.get("xception", 1), candidate, load(), **options)


class Swapped(Bright):
    """Has its labels swapped."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = super().classify(image_bytes)
        return {"scores": answer["scores"][:, ::-1], "classes": answer["classes"]}


class Slow(Bright):
    """Takes 100 ms more."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        start, busy = tf.timestamp(), tf.constant(0.0)
        while tf.timestamp() - start < 0.1:
            busy += tf.reduce_sum(tf.ones([64, 64]) @ tf.ones([64, 64])) * 0
        answer = super().classify(image_bytes)
        return {"scores": answer["scores"] + busy, "classes": answer["classes"]}


class NoNumbers(Bright):
    """Answers with NaN, as a fit that diverged does."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = super().classify(image_bytes)
        return {"scores": answer["scores"] * float("nan"), "classes": answer["classes"]}


class Nameless(Bright):
    """Does not say which class a score is of."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": super().classify(image_bytes)["scores"]}


@pytest.mark.slow
def test_equal_worse_slow_and_nameless_versions(tiny, monkeypatch):
    monkeypatch.chdir(tiny.folder)
    equal = add("equal", Bright(0.001))
    verdict = compare(equal)
    assert verdict.passed and verdict.answer == paired.NO_WORSE, verdict.reason
    assert "McNemar: 0 won, 0 lost of 60" in verdict.reason and verdict.disagree == []
    few = compare(equal, margin=0.01)
    assert not few.passed and few.answer == paired.UNKNOWN and "too few pictures" in few.reason

    old, new = registry.get("xception", 1), add("swapped", Swapped(0.0))
    swapped = compare(new)
    assert not swapped.passed and swapped.answer == paired.WORSE
    assert len(swapped.disagree) == PICTURES and "less of cartoon" in swapped.reason
    assert swapped.disagree[0] == {
        "picture": "data/0.png", "truth": "cartoon", "champion": "cartoon", "candidate": "photo",
    }  # fmt: skip
    slow = compare(add("slow", Slow(0.002)))
    assert not slow.passed and "ms for an answer" in slow.reason
    nameless = compare(add("nameless", Nameless(0.0)))
    assert not nameless.passed and "serving_default has no classes" in nameless.reason

    png, words = diff_sheet.sheet(old, new, load())
    assert png.startswith(b"\x89PNG")
    assert (
        words == f"versions 1 and {new.version} disagree on {PICTURES} of {PICTURES} test pictures"
    )

    gate.record(new, swapped, forced=True)
    kept = registry.get("xception", new.version)
    assert kept.tags["gate"].startswith("forced: worse")
    place = registry.connect().get_run(kept.run_id).info.artifact_uri
    content = mlflow.artifacts.load_dict(f"{place}/gate/version_{new.version}_against_1.json")
    assert content["forced"] and len(content["disagree"]) == PICTURES
    assert content["figures"]["test_hash"] and content["figures"]["champion"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_scores_that_are_no_numbers_are_never_promoted(tiny, monkeypatch, first):
    monkeypatch.chdir(tiny.folder)
    version = add(f"no numbers {first}", NoNumbers(0.004 + first / 1000))
    champion = None if first else registry.get("xception", 1)
    with pytest.raises(
        UserError, match=r"xception version \d+ answers with scores that are no fin"
    ):
        gate.compare(champion, version, load())


@pytest.mark.slow
def test_what_does_not_load_is_not_moved(tiny, monkeypatch):
    monkeypatch.chdir(tiny.folder)
    Path("made/broken").mkdir(parents=True)
    Path("made/broken/saved_model.pb").write_bytes(b"rubbish")
    broken = TinyProject(Path.cwd(), Path.cwd() / "made").register("xception", "broken")
    with pytest.raises(UserError, match=f"xception version {broken.version} could not be loaded"):
        compare(broken)
    assert not (SERVED / "models.config").exists()


def test_the_champion_itself_passes(monkeypatch):
    monkeypatch.chdir(ROOT)
    only = registry.RegisteredVersion("xception", 1, (), "", 0.0, {}, {})
    assert gate.compare(only, only, load()).passed


def test_names_are_brought_into_the_order_of_the_test_set():
    outputs = {
        "classes": np.array([[b"beni", b"cleo", b"unknown"]], object),
        "scores": np.float32([[0.5, 0.3, 0.2]]),
    }
    row = answers._row(Prediction("m", 1, outputs, 1.0), ["aki", "beni"])
    assert row == pytest.approx([0, 0.5, 0.5])
    with pytest.raises(BadInput):
        answers._row(BadInput("no picture", "INVALID_ARGUMENT"), ["aki"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Project:
    """A project with a threshold classifier and a sketching model, trained and registered."""
    with pytest.MonkeyPatch.context() as patch:
        project = make_project(tmp_path_factory.mktemp("trained"))
        patch.chdir(project.folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        small = {"image_size": 64, "patch": 32, "width": 4, "init": "none"}
        params = project.configure({"train": {"sketchify": small}})
        for stage in (clean, facecrop, split):
            stage.run(params)
        for model in ("colours", "sketchify"):
            for stage in (train, evaluate, export, register):
                stage.run(model, params)
        yield project


@pytest.mark.slow
def test_what_the_server_answers_is_what_evaluate_measured(trained, monkeypatch):
    monkeypatch.chdir(trained.folder)
    params = load()
    test = manifest.read("cartoon_or_photo")
    with trial.starting() as server:
        for model in ("colours", "sketchify"):
            found = registry.get(model, 1)
            materialize(found)
            with server.loaded(model, [1]) as client:
                answers.warm_up(client, found)
                if model == "colours":
                    (seen,) = answers.of_classifier(client, [found], test["test"])
                    for metric in ("accuracy", "balanced_accuracy"):
                        assert seen.figure(metric) == pytest.approx(found.metrics[metric])
                else:
                    (drawn,) = answers.of_others(client, [found], "ssim", test, params)
                    assert drawn.value == pytest.approx(found.metrics["ssim"], abs=1e-3)
                    assert len(drawn.without) >= 2 and drawn.milliseconds > 0
