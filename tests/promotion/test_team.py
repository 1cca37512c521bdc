"""Promotion where a team shares MLflow: PostgreSQL, an S3 store, a server; clones on one of it.

With `CELFLOW_TEST_ROUNDS=20` other modules' tests run here, too.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from celflow import mlops, registry, tracking
from promotion import served_folder
from stages.models.common.saved_model import digest

from . import test_mlops, test_status, test_transition
from .conftest import bare
from .team import mlflow_server
from .test_status import deployed
from .test_transition import ROUNDS, served
from .tiny import TinyProject

__all__ = ["deployed", "served"]
pytestmark = pytest.mark.slow
NOBODY = ("--server", "127.0.0.1:1")

if ROUNDS >= 20:
    test_two_at_once = test_transition.test_rounds_of_two_promotions_at_once
    test_each_write = test_transition.test_killed_before_each_write
    test_killed = test_transition.test_killed_at_any_time
    test_rollback = test_status.test_rollback_says_where_it_goes
    test_deleted = test_status.test_a_deleted_champion_is_rolled_back_over
    test_from_python = test_mlops.test_a_version_is_promoted_looked_back_at_and_rolled_back


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A team's MLflow."""
    with mlflow_server() as uri:
        yield uri


@pytest.fixture
def shared(address, monkeypatch) -> Iterator[str]:
    """The same, with an empty registry, as this process's MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    before = tracking.mlflow.get_tracking_uri()
    tracking.mlflow.set_tracking_uri(address)
    client = tracking.connect()
    try:
        yield address
    finally:
        for model in client.search_registered_models():
            client.delete_registered_model(model.name)
        tracking.mlflow.set_tracking_uri(before)


@pytest.fixture
def tiny(tmp_path, monkeypatch, saved, shared) -> TinyProject:
    """In place of the one whose MLflow is a file."""
    return bare(tmp_path, saved, monkeypatch)


def test_two_clones(tmp_path, monkeypatch, saved, shared):
    """They register at once, see each other's changes, and get the same files from the store."""
    clones = []
    for name in "ab":
        (tmp_path / name).mkdir()
        clones.append(bare(tmp_path / name, saved, monkeypatch))
        test_status.pull(saved)
    processes = [clone.start("register") for clone in clones]
    for process in processes:
        process.join(120)
    printed = [(clone.folder / "log").read_text() for clone in clones]
    assert [process.exitcode for process in processes] == [0, 0], printed
    assert sorted("(new" in text for text in printed) == [False, True], printed
    assert [one.version for one in mlops.models()] == [1], "one content is one version"

    one, other = clones
    one.register("colours", "b1")
    assert one.run("move", "colours", 2, NOBODY[1])[0] == 0
    assert other.run("rollback", "colours", "--reason", "it is worse", *NOBODY)[0] == 0
    shown = []
    for clone in clones:
        code, text = clone.run("history", "colours", "--json")
        assert code == 0
        shown.append(json.loads(text[text.index("[") :]))
        assert clone.run("deploy", *NOBODY)[0] == 0
        assert digest(clone.folder / served_folder.SERVED / "colours/1") == digest(saved / "b0")
    assert shown[0] == shown[1]
    assert [(c["kind"], c["version"], c["reason"]) for c in shown[0]] == [
        ("register", 1, ""),
        ("register", 2, ""),
        ("promote", 2, ""),
        ("rollback", 1, "it is worse"),
    ]
    assert registry.aliases_of("colours")["champion"] == 1
    assert not Path("mlflow.db").exists()
