"""`celflow status` and `register`, and MLflow that goes away in between."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from celflow import changes, manifest, registry
from celflow.errors import UserError
from cli import main
from promotion import deploy, served_folder, serving_config, transition
from serving.client import Client
from stages.models.common.saved_model import digest

from .tiny import TinyProject

NOBODY = ("--server", "127.0.0.1:1")


def celflow(*words: object) -> str:
    done = CliRunner().invoke(main.app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def lines() -> dict[str, dict]:
    return {one["model"]: one for one in json.loads(celflow("status", "--json", *NOBODY))}


@pytest.fixture
def deployed(tiny) -> TinyProject:
    """Two versions of colours and one of edges; no server runs."""
    for model, kind in (("colours", "b0"), ("colours", "b1"), ("edges", "b2")):
        tiny.register(model, kind)
    celflow("deploy", *NOBODY)
    return tiny


def promote(model: str, number: int) -> None:
    with Client("127.0.0.1:1") as client:
        deploy.promote(client, registry.get(model, number), "champion")


def test_differences_are_shown_with_what_mends_them(deployed):
    assert "no difference" in celflow("status", *NOBODY)
    registry.connect().set_registered_model_alias("colours", "champion", "2")
    registry.connect().delete_registered_model_alias("colours", "challenger")
    assert lines()["colours"]["mend"] == "celflow deploy" and not lines()["edges"]["mend"]
    # Another model's promotion leaves it as it is.
    promote("edges", 1)
    assert lines()["colours"]["configured"] == {"champion": 1, "challenger": 2}
    celflow("deploy", *NOBODY)
    assert not lines()["colours"]["mend"]
    registry.connect().delete_model_version("colours", "2")
    assert lines()["colours"]["mend"] == "celflow promote colours 1 --force"
    assert "colours: no version has an alias" in celflow("deploy", *NOBODY)
    promote("colours", 1)
    assert not lines()["colours"]["mend"]


def test_in_a_folder_of_the_project(deployed, monkeypatch):
    Path("data/deep").mkdir(parents=True)
    monkeypatch.chdir("data/deep")
    assert "colours" in celflow("models")
    assert not Path(deployed.folder / "data/deep/mlflow.db").exists()


@pytest.mark.parametrize("width", ["80"])
def test_models_are_not_cut(deployed, monkeypatch, width):
    deployed.register("character_embedding", "b0")
    deployed.register("character_embedding", "b3")
    monkeypatch.setenv("COLUMNS", width)
    shown = celflow("models")
    assert "character_embedding" in shown and "challenger" in shown and "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_rollback_says_where_it_goes(deployed):
    promote("colours", 2)
    printed = celflow("rollback", "colours", "--reason", "it is worse", *NOBODY)
    assert "colours: version 1 is champion" in printed
    with pytest.raises(
        UserError, match="colours had no champion before this one: there is nothing"
    ):
        celflow("rollback", "colours", *NOBODY)
    (last,) = json.loads(celflow("history", "colours", "--json"))[-1:]
    assert (last["kind"], last["reason"], last["version"]) == ("rollback", "it is worse", 1)
    assert "champion 2 -> 1 (it is worse)" in celflow("history", "colours")


def test_a_deleted_champion_is_rolled_back_over(deployed):
    deployed.register("colours", "b3")
    promote("colours", 2)
    promote("colours", 3)
    registry.connect().delete_model_version("colours", "2")
    assert "deleted in MLflow, and skipped: version 2" in celflow("rollback", "colours", *NOBODY)
    assert registry.aliases_of("colours")["champion"] == 1


def test_mlflow_goes_away_while_a_version_is_moved(deployed, monkeypatch):
    def away(*_: object) -> None:
        raise registry.MlflowException("no connection")

    with monkeypatch.context() as patch:
        patch.setattr(changes, "commit", away)
        with pytest.raises(UserError, match="the next command completes"):
            promote("colours", 2)
    assert transition.unfinished() == ["colours"]
    assert lines()["colours"]["mend"] == "celflow deploy"
    promote("edges", 1)
    assert not transition.unfinished() and not lines()["colours"]["mend"]


def test_a_full_disk_changes_nothing(deployed, monkeypatch):
    before = serving_config.read()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(served_folder, "copytree", full)
        shutil.rmtree(served_folder.SERVED / "colours/2")
        with pytest.raises(UserError, match="no space left on device"):
            promote("colours", 2)
    assert serving_config.read() == before
    assert registry.aliases_of("colours") == {"champion": 1, "challenger": 2}
    promote("colours", 2)
    assert registry.aliases_of("colours") == {"champion": 2, "previous": 1}


def test_a_promotion_that_the_gate_did_not_compare_with(deployed):
    deployed.register("colours", "b3")
    promote("colours", 2)
    with Client("127.0.0.1:1") as client, pytest.raises(UserError, match="2 has become champion"):
        deploy.promote(client, registry.get("colours", 3), "champion", compared=1)


@pytest.fixture
def pulled(tiny, saved) -> TinyProject:
    """What `dvc pull` brings, for one model, and an empty registry."""
    pull(saved)
    return tiny


def pull(saved: Path) -> None:
    """Into this folder."""
    card = {"model": "colours", "task": "cartoon_or_photo", "labels": ["cartoon", "photo"]}
    for name, content in {
        "exports/colours/card.json": {**card, "content": digest(saved / "b0")},
        "models/colours/fit.json": {"fit_key": "1234"},
        "metrics/colours.json": {"accuracy": 0.75, "recall": {"photo": 1.0}, "pictures": 4},
    }.items():
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text(json.dumps(content))
    shutil.copytree(saved / "b0", "exports/colours/saved_model")
    Path("data/split").mkdir(parents=True)
    rows = [("data/x.png", "photo", "test", "", "")]
    table = pd.DataFrame(rows, columns=manifest.COLUMNS)
    table.to_csv("data/split/cartoon_or_photo.csv", index=False)


def test_an_empty_registry_is_filled(pulled):
    assert lines()["colours"]["mend"] == "celflow register"
    assert "colours: version 1 (new; champion)" in celflow("register")
    found = registry.get("colours", 1)
    assert found.metrics["accuracy"] == 0.75 and found.tags["test_hash"]
    assert registry.parameters(found)["threshold"] == "tuned"
    assert "version 1 (known; champion)" in celflow("register")
    made = json.loads(celflow("show", "colours", 1, "--json"))
    assert made["aliases"] == ["champion"] and made["metrics"]["accuracy"] == 0.75


@pytest.mark.slow
def test_registering_killed_before_each_write(pulled, store):
    kills = 0
    while True:
        code, printed = pulled.run("register", kill_at=kills)
        if code == 0:
            break
        assert code == -9, printed
        code, printed = pulled.run("register")
        assert code == 0, printed
        assert registry.aliases() == {"colours": {"champion": 1}}
        (change,) = registry.history("colours")
        assert change.done and lines()["colours"]["mend"] != "celflow register"
        kills += 1
        shutil.copyfile(store / "mlflow.db", "mlflow.db")  # as empty as it was
    assert kills >= 5
