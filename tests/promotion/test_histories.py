"""What four clients do at once, some of them killed, can be told as one story: linearizability.

Each command has an interval, from its start to its end. The record, which is the history that the
registry keeps, has to name an order of the commands that their intervals allow, and in which each
did what it would have done alone (Herlihy and Wing 1990, section 2).
"""

import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from os import environ
from pathlib import Path

import pytest

from celflow import changes, registry
from celflow.changes import Change

from .conftest import make_tiny
from .tiny import TinyProject

pytestmark = pytest.mark.slow
HISTORIES = int(environ.get("CELFLOW_TEST_HISTORIES", "2"))  # 500 take an hour
CLIENTS, COMMANDS = 4, 2
NOBODY = "127.0.0.1:1"


@dataclass
class Done:
    """What a client did. code: -9 where it was killed."""

    name: str
    kind: str
    version: int
    began: str
    ended: str
    code: int
    printed: str


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def client(tiny: TinyProject, name: str, chance: random.Random, done: list[Done]) -> None:
    for number in range(COMMANDS):
        me, version = f"{name}{number}", chance.randint(1, 3)
        kind = chance.choice(["promote", "promote", "rollback", "register"])
        words = {
            "promote": ("move", "colours", version, NOBODY, me),
            "rollback": ("rollback", "colours", "--reason", me, "--server", NOBODY),
            "register": ("add", "colours", f"b{chance.choice([3, 4])}", tiny.saved),
        }[kind]
        began = now()
        process = tiny.start(*words, log=f"log-{me}")
        if chance.random() < 0.25:
            process.join(chance.uniform(0.05, 1.5))
            process.kill()
        process.join(120)
        assert process.exitcode is not None, "it hangs"
        printed = (tiny.folder / f"log-{me}").read_text() if process.exitcode != -9 else ""
        done.append(Done(me, kind, version, began, now(), process.exitcode, printed))


@pytest.fixture(scope="module")
def begun(tmp_path_factory, saved, store) -> Iterator[Path]:
    """A project with three versions of colours, the first of them champion."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        tiny = make_tiny(folder, saved, store, patch)
        for kind in ("b0", "b1", "b2"):
            tiny.register("colours", kind)
        yield folder


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_histories_are_linearizable(tmp_path, monkeypatch, begun, saved, seed):
    folder = tmp_path / "project"
    shutil.copytree(begun, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # which MLflow sets itself
    tiny = TinyProject(folder, saved)
    done: list[Done] = []
    threads = [
        threading.Thread(target=client, args=(tiny, name, random.Random(f"{seed}{name}"), done))
        for name in "abcd"[:CLIENTS]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == CLIENTS * COMMANDS
    code, printed = tiny.run("deploy", "--server", NOBODY)
    assert code == 0, printed
    check(done, registry.history("colours"))
    contents = [version.tags[registry.CONTENT] for version in registry.listed("colours")]
    assert len(set(contents)) == len(contents), "one content is one version"
    assert registry.aliases_of("colours") == registry.history("colours")[-1].after


def check(done: list[Done], history: list[Change]) -> None:
    assert [change.number for change in history] == list(range(1, len(history) + 1))
    assert all(change.done for change in history)
    for place, change in enumerate(history):
        assert change.after == changes.after(history[:place], change), "as if it were alone"
    for earlier, later in pairwise(history):
        assert later.before == earlier.after, "each builds on the one before"
        assert earlier.when <= later.when

    place = {change.reason: change for change in history if change.reason}
    assert len(place) == sum(bool(change.reason) for change in history), "each once at most"
    for one in done:
        change = place.get(one.name)
        if change is not None:
            assert change.kind == one.kind and one.began <= change.when <= one.ended
            if one.kind == "rollback":
                assert change.version == target(history[: change.number - 1])
            else:
                assert change.version == one.version
        elif one.kind == "register" or one.code == -9:
            continue
        elif one.code == 0:
            assert one.kind == "promote", f"{one} says that it rolled back"
            were = [state[-1].after["champion"] for state in during(history, one)]
            assert one.version in were, f"{one} did nothing, and there was something to do"
        else:
            assert "nothing to roll back to" in one.printed, one
            assert any(target(state) is None for state in during(history, one)), one


def target(history: list[Change]) -> int | None:
    """Where a rollback goes after these changes."""
    line = changes.champions(history, history[-1].after)
    return next((n for n in reversed(line[:-1]) if n != line[-1]), None)


def during(history: list[Change], one: Done) -> list[list[Change]]:
    """The histories there were while a command ran."""
    return [
        history[: number + 1]
        for number, change in enumerate(history)
        if change.when <= one.ended
        and (number + 1 == len(history) or history[number + 1].when >= one.began)
    ]
