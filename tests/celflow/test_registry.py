"""MLflow's registry: history, killed commands, other people's models, a moved project."""

import json
import multiprocessing
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from celflow import changes, registry, tracking
from celflow.errors import UserError

from ..stages.conftest import ROOT

Add = Callable[..., registry.RegisteredVersion]


def make_project(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "celflow").mkdir()  # goes into the registry as code
    (folder / "celflow/__init__.py").write_text("")


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """A project whose MLflow has its tables: those take seconds to make."""
    folder = tmp_path_factory.mktemp("empty")
    make_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.connect().search_registered_models()
    return folder


@pytest.fixture
def project(tmp_path, empty, monkeypatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(empty, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture
def add(project) -> Add:
    """Register a model of a word: add("edges", "a")."""
    return register


def register(model: str, text: str) -> registry.RegisteredVersion:
    folder = Path("made") / text
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_text(text)
    with tracking.run(model) as active:
        mlflow.log_metric("test_accuracy", 0.5)
        run_id = active.info.run_id
    return registry.register(model, run_id, folder, f"digest of {text}", {"task": "characters"})[0]


def promote(model: str, number: int, kind: str = "promote") -> changes.Change:
    change = registry.plan(registry.get(model, number), registry.CHAMPION, kind)
    registry.commit(model, change)
    return change


def test_the_first_is_champion_later_ones_challenge(add):
    assert add("edges", "a").aliases == ("champion",)
    assert add("edges", "b").aliases == ("challenger",)
    third = add("edges", "c")
    assert registry.aliases_of("edges") == {"champion": 1, "challenger": 3}
    assert add("edges", "c") == third, "the same content is the same version"
    assert [change.kind for change in registry.history("edges")] == ["register"] * 3
    assert third.metrics == {"accuracy": 0.5}


def test_rollbacks_walk_back(add):
    for text in "abcd":
        add("edges", text)
    for number in (2, 3, 4):
        promote("edges", number)
    assert registry.aliases_of("edges") == {"champion": 4, "previous": 3}
    assert promote("edges", 3, "rollback").after == {"champion": 3, "previous": 2}
    assert promote("edges", 2, "rollback").after == {"champion": 2, "previous": 1}
    assert promote("edges", 1, "rollback").after == {"champion": 1}
    assert promote("edges", 4).after == {"champion": 4, "previous": 1}
    history = registry.history("edges")
    assert changes.champions(history, {"champion": 4}) == [1, 4]
    assert changes.champions(history, {"champion": 2}) == [1, 4, 2], "moved by hand in MLflow"


def test_who_was_champion_when(add):
    for text in "ab":
        add("edges", text)
    before = registry.history("edges")[0].when
    time.sleep(0.01)
    promote("edges", 2)
    history = registry.history("edges")
    assert changes.champion_at(history, before) == 1
    assert changes.champion_at(history, history[-1].when) == 2
    assert changes.champion_at(history, "2000-01-01T00:00:00.000+00:00") is None
    assert history[-1].who and history[-1].before == {"champion": 1, "challenger": 2}


def test_a_registry_without_history(add):
    for text in "ab":
        add("edges", text)
    client = tracking.connect()
    for change in registry.history("edges"):
        client.delete_registered_model_tag("edges", f"{changes.PREFIX}{change.number:06}")
    client.set_registered_model_alias("edges", "previous", "1")
    client.set_registered_model_alias("edges", "champion", "2")
    assert changes.champions([], registry.aliases_of("edges")) == [1, 2]


def test_what_a_killed_change_left_is_completed(add):
    for text in "abc":
        add("edges", text)
    change = registry.plan(registry.get("edges", 2), registry.CHAMPION, "promote")
    changes._save(tracking.connect(), "edges", change)  # killed before the first alias
    assert registry.aliases_of("edges") == {"champion": 1, "challenger": 3}
    registry.finish("edges")
    assert registry.aliases_of("edges") == change.after
    assert registry.history("edges")[-1].done


def test_a_version_that_was_killed_before_its_alias_gets_it(add, monkeypatch):
    add("edges", "a")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(changes, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            add("edges", "b")
    assert registry.aliases_of("edges") == {"champion": 1}
    add("edges", "b")
    assert registry.aliases_of("edges") == {"champion": 1, "challenger": 2}


def test_other_peoples_models_are_theirs(add):
    add("edges", "a")
    client = tracking.connect()
    client.create_registered_model("empty")
    for name in ("a name", "edges"):
        if name != "edges":
            client.create_registered_model(name)
        made = client.create_model_version(name, "somewhere/else", None)
        client.set_registered_model_alias(name, "production", made.version)
    assert registry.models() == ["edges"]
    assert registry.aliases() == {"edges": {"champion": 1}}
    with pytest.raises(UserError, match="edges has no version 2: it has 1"):
        registry.get("edges", 2)
    add("edges", "b")
    assert registry.aliases_of("edges") == {"champion": 1, "challenger": 3}
    assert client.get_registered_model("edges").aliases["production"] == 2


def test_more_models_than_a_page_has(add, monkeypatch):
    add("zebra", "a")
    client = tracking.connect()
    for number in range(120):
        client.create_registered_model(f"other{number}")
    assert registry.models() == ["zebra"]
    assert registry.aliases_of("zebra") == {"champion": 1}
    from functools import partial

    found = registry._pages(partial(client.search_registered_models, max_results=50))
    assert len(found) == 121


def test_a_deleted_champion_leaves_the_others(add):
    for text in "abc":
        add("edges", text)
    promote("edges", 2)
    tracking.connect().delete_model_version("edges", "2")
    assert registry.aliases_of("edges") == {"previous": 1, "challenger": 3}
    line = changes.champions(registry.history("edges"), registry.aliases_of("edges"))
    assert line == [1, 2]
    add("edges", "d")
    assert registry.aliases_of("edges")["challenger"] == 4, "nobody becomes champion by chance"


def test_a_moved_and_a_copied_project_read_and_write_their_own(add, project, monkeypatch):
    add("edges", "a")
    copy = project.with_name("copy")
    shutil.copytree(project, copy)
    moved = project.rename(project.with_name("moved"))
    for folder in (copy, moved):
        monkeypatch.chdir(folder)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it by itself
        with registry.saved_model(registry.get("edges", 1)) as found:
            assert (found / "saved_model.pb").read_text() == "a"
        before = {path for path in (folder / "mlartifacts").rglob("*") if path.is_file()}
        with registry.saved_model(register("edges", f"of {folder.name}")) as found:
            assert (found / "saved_model.pb").read_text() == f"of {folder.name}"
        assert {path for path in (folder / "mlartifacts").rglob("*") if path.is_file()} > before
    assert not project.exists()


@pytest.mark.parametrize("place", ["mlartifacts/7", "mlruns/0"])
def test_what_others_put_into_the_store_moves_along(project, monkeypatch, place):
    """MLflow's server names a folder after the experiment, and its client has an mlruns/0."""
    with tracking.run("edges"):
        pass
    scheme = (project / place).as_uri() if place.startswith("mlartifacts") else f"{project / place}"
    tracking.connect().create_experiment("theirs", artifact_location=scheme)
    mlflow.set_experiment("theirs")
    with mlflow.start_run() as theirs:
        mlflow.log_text("words", "a.txt")
    moved = project.rename(project.with_name("mövéd 50%25 #1"))
    monkeypatch.chdir(moved)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it by itself
    tracking.connect()
    found = mlflow.artifacts.load_text(
        tracking.connect().get_run(theirs.info.run_id).info.artifact_uri + "/a.txt"
    )
    assert found == "words" and list((moved / place).rglob("a.txt"))


def test_mlflow_down_is_a_line_and_quick(project, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    started = time.monotonic()
    with pytest.raises(UserError) as failure:
        registry.models()
    assert time.monotonic() - started < 2
    assert f"no MLflow answers at {uri}: start it" in str(failure.value)
    assert len(str(failure.value)) < 150
    mlflow.set_tracking_uri(None)


def at_once(folder: str, text: str, results: "multiprocessing.Queue[str]") -> None:
    import os

    os.chdir(folder)
    for model in ("edges", "colours"):
        version = register(model, text)
        results.put(json.dumps([model, text, version.version]))


@pytest.mark.slow
@pytest.mark.parametrize("texts", [("a", "a", "a"), ("a", "b", "c")])
def test_several_register_at_once(project, texts):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    results: multiprocessing.Queue[str] = context.Queue()
    started = [
        context.Process(target=at_once, args=(str(project), text, results)) for text in texts
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
        assert process.exitcode == 0
    for model in ("edges", "colours"):
        found = registry.listed(model)
        assert sorted(v.tags["content"] for v in found) == [
            f"digest of {t}" for t in sorted({*texts})
        ]
        aliases = registry.aliases_of(model)
        newest = {"challenger": len(found)} if len(found) > 1 else {}
        assert aliases == {"champion": 1, **newest}
        assert not any(registry.ALIAS_DUE in version.tags for version in found)


def test_a_moved_store_that_can_not_be_written_is_read(project, monkeypatch, capsys):
    with tracking.run("edges"):
        pass
    moved = project.rename(project.with_name("moved"))
    monkeypatch.chdir(moved)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def refused(*arguments: object) -> None:  # a mode of its file does not stop root
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(tracking, "_replace", refused)
    assert len(tracking.connect().search_experiments()) == 2
    said = capsys.readouterr().err
    assert said == (
        f"{moved / 'mlflow.db'} can't follow the move of its project: "
        "attempt to write a readonly database\n"
    )
