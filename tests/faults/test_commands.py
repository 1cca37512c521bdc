"""Commands that ask a server, or that run for days: killed, on a full disk, with services away."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest

from celflow import registry
from celflow.errors import Unavailable
from promotion import mlops, shadow, webhook
from promotion.traffic import Asked
from serving.client import Client

from ..dashboard.fake_model_server import FakeServer
from ..promotion.test_traffic import MODEL, Users, grey, saved, stack
from ..stages.conftest import ROOT, encoded, flat_drawing, project
from . import command_process

__all__ = ["project", "saved", "stack"]
ROUNDS = 20 if os.environ.get("CELFLOW_FAULTS") else 2
PICTURES = 12


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.stop()


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


class Watched:
    """A folder in which pictures arrive, and `celflow watch` on it."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.folder, self.address = folder, server.address
        (folder / "ïn").mkdir()
        shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
        self.sent: dict[str, bytes] = {}

    def arrive(self, count: int) -> None:
        for _ in range(count):
            name = f"ねこ {len(self.sent)}.png"
            self.sent[name] = encoded(flat_drawing(len(self.sent)), "PNG")
            (self.folder / "ïn" / name).write_bytes(self.sent[name])

    def start(self, how: str):
        words = ["watch", "ïn", "--to", "out", how, "--model", "xception", "--server", self.address]
        return command_process.start(self.folder, words)

    @property
    def log(self) -> str:
        path = self.folder / command_process.LOG
        return path.read_text() if path.is_file() else ""

    def found(self, place: str) -> dict[str, bytes]:
        files = (self.folder / place).rglob("*.png")
        return {file.name: file.read_bytes() for file in files}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--copy", "--move"])
def test_a_watch_that_is_killed_loses_nothing(tmp_path, server, how):
    watched, chance = Watched(tmp_path, server), random.Random(how)
    for _ in range(ROUNDS):
        watched.arrive(PICTURES)
        process = watched.start(how)
        until(lambda: "watching" in watched.log)
        time.sleep(chance.uniform(1.5, 3.5))  # a file counts as whole after two seconds
        process.kill()
        process.join()
        assert process.exitcode == -9, watched.log
        assert watched.found("ïn") | watched.found("out") == watched.sent
        if how == "--move":
            assert not watched.found("ïn").keys() & watched.found("out").keys()
    process = watched.start(how)
    until(lambda: len(watched.found("out")) == len(watched.sent))
    process.kill()
    process.join()
    assert watched.found("out") == watched.sent
    assert "Traceback" not in watched.log


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--copy", "--move"])
def test_a_watch_outlives_its_server(tmp_path, server, how):
    watched = Watched(tmp_path, server)
    watched.arrive(PICTURES)
    process = watched.start(how)
    until(lambda: len(watched.found("out")) == PICTURES)
    server.stop()
    watched.arrive(PICTURES)
    until(lambda: "waiting: no model server answers" in watched.log, 90)
    assert process.is_alive()
    again = FakeServer(server.port)
    until(lambda: watched.found("out") == watched.sent)
    process.kill()
    process.join()
    again.stop()
    assert "Traceback" not in watched.log and "left out" not in watched.log


@pytest.mark.slow
def test_predict_while_files_change_and_its_server_goes(tmp_path, server):
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.png").write_bytes(encoded(flat_drawing(number), "PNG"))
    words = ["predict", "xception", "pictures", "--json", "--server", server.address]
    process = command_process.start(tmp_path, words)
    for number in range(40):
        (folder / f"{number}.png").unlink()
        if number % 2:
            (folder / f"{number}.png").write_bytes(b"")
    process.join(60)
    log = (tmp_path / command_process.LOG).read_text()
    assert process.exitcode in (0, 1) and "Traceback" not in log, log
    server.stop()
    (folder / "one.png").write_bytes(encoded(flat_drawing(0), "PNG"))
    process = command_process.start(tmp_path, words)
    process.join(60)
    log = (tmp_path / command_process.LOG).read_text()
    assert process.exitcode == 1 and "Traceback" not in log
    assert log.startswith("error: no model server answers")


class Silence:
    """A champion whom nobody asks anything."""

    def new(self) -> Iterator[Asked]:
        return iter(())


def test_a_guard_waits_for_its_server_and_blames_nobody(server, monkeypatch, capsys):
    monkeypatch.setattr(shadow, "_POLL", 0.0)
    monkeypatch.setattr("celflow.waiting.PAUSE", 0.01)
    looks = 0
    again: list[FakeServer] = []

    class Restarted(Silence):
        def new(self) -> Iterator[Asked]:
            nonlocal looks
            looks += 1
            if looks == 3:
                server.stop()
                threading.Timer(0.5, lambda: again.append(FakeServer(server.port))).start()
            if looks == 6:
                raise KeyboardInterrupt
            return iter(())

    with Client(server.address, patience=0) as client, pytest.raises(KeyboardInterrupt):
        shadow.watch(client, "xception", 1, Restarted(), lambda _: False)
    again[0].stop()
    assert capsys.readouterr().err.count("waiting: no model server answers") == 1


def test_a_guard_finds_a_champion_that_fails_where_its_server_runs(server, monkeypatch):
    monkeypatch.setattr(shadow, "_POLL", 0.0)
    del server.labels["xception"]["stable"]
    with Client(server.address) as client:
        why = shadow.watch(client, "xception", 1, Silence(), lambda _: False)
    assert why is not None and why.startswith("it fails")


def test_a_guard_rolls_back_once_mlflow_is_there_again(monkeypatch):
    monkeypatch.setattr("celflow.waiting.PAUSE", 0.0)
    tries = []

    def rollback(*words, **more):
        tries.append(words)
        if len(tries) < 3:
            raise Unavailable("no MLflow answers")
        return None, "version 1", []

    deploying = SimpleNamespace(
        rollback=rollback, before_champion=lambda _: (SimpleNamespace(version=1), [])
    )
    monkeypatch.setattr(mlops, "_deploy", deploying)
    monkeypatch.setattr(registry, "aliases_of", lambda _: {})
    monkeypatch.setattr(shadow, "request_log", lambda *_: nullcontext())
    monkeypatch.setattr(shadow, "watch", lambda *_: "it fails")
    assert mlops.guard("xception") == ("version 1", "it fails")
    assert len(tries) == 3


@pytest.mark.slow
def test_a_killed_shadow_is_followed_by_another_or_by_a_deploy(stack, project):
    words = ["shadow", MODEL, "--to", "3", "--share", "1", "--server", stack.address]
    config = Path("served/models.config")
    log = Path(command_process.LOG)
    for following in (["deploy"], [*words, "--requests", "5"]):
        process = command_process.start(project.folder, words)
        until(lambda: log.is_file() and "mirroring" in log.read_text())
        process.kill()
        process.join()
        assert "logging_config" in config.read_text()
        if "--server" not in following:
            following += ["--server", stack.address]
        with Users(stack, range(0, 250, 60)):
            process = command_process.start(project.folder, following)
            process.join(60)
        assert process.exitcode == 0, log.read_text()
        assert "logging_config" not in config.read_text()
        log.unlink()


@pytest.mark.slow
def test_an_alias_that_moved_while_mlflow_was_away_reaches_the_server(stack, monkeypatch, capsys):
    monkeypatch.setattr("celflow.waiting.PAUSE", 0.05)
    assert stack.predict(MODEL, [grey(200)], "stable").version == 2
    registry.commit(MODEL, registry.plan(registry.get(MODEL, 3), registry.CHAMPION, "promote"))
    nowhere = "http://127.0.0.1:1"
    mlflow.set_tracking_uri(nowhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", nowhere)
    webhook.Syncing(stack).changed(MODEL)
    time.sleep(1)
    assert stack.predict(MODEL, [grey(200)], "stable").version == 2
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # the project's own again
    until(lambda: stack.predict(MODEL, [grey(200)], "stable").version == 3)
    assert f"waiting: no MLflow answers at {nowhere}" in capsys.readouterr().err
