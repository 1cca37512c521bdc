"""Promotions at once, and killed at every write: registry, files and server agree afterwards."""

import random
import time
from collections.abc import Iterator
from itertools import pairwise
from os import environ

import pytest

from celflow import registry
from promotion import served_folder, serving_config, status, transition
from serving.client import Client
from stages.models.common.saved_model import digest

from ..serving.model_server import Server
from .tiny import TinyProject

pytestmark = pytest.mark.slow
# Each takes two seconds.
ROUNDS = int(environ.get("CELFLOW_TEST_ROUNDS", "4"))
EVERY = 1 if ROUNDS >= 20 else 3  # of the writes


@pytest.fixture
def served(tiny) -> Iterator[tuple[TinyProject, str]]:
    """Three versions of colours, two of edges; champions 1 are served."""
    for kind in ("b0", "b1", "b2"):
        tiny.register("colours", kind)
    for kind in ("b3", "b4"):
        tiny.register("edges", kind)
    assert tiny.run("deploy", "--server", "127.0.0.1:1")[0] == 0
    with Server(
        tiny.folder,
        f"--model_config_file={serving_config.MODELS_CONFIG.absolute()}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
        rest=False,
    ) as server:
        yield tiny, server.address  # fmt: skip


def check(address: str) -> None:
    """Every invariant: all three sides agree, no change is half done, files are whole."""
    assert not transition.unfinished()
    with Client(address) as client:
        lines = status.compare(client)
    for line in lines:
        assert line.answering == line.configured == line.registered, line
        assert not line.mend, line
    for model, aliases in registry.aliases().items():
        history = registry.history(model)
        assert all(change.done for change in history)
        assert [change.number for change in history] == list(range(1, len(history) + 1))
        for earlier, later in pairwise(history):
            assert later.before == earlier.after, "a change builds on the one before"
        assert history[-1].after == aliases
        assert len({*aliases.values()}) == len(aliases), "two aliases on one version"
        assert registry.CHAMPION in aliases
    contents = {(v.model, v.version): v.tags["content"] for v in registry.listed()}
    for entry in serving_config.read().model_config_list.config:
        for number in entry.model_version_policy.specific.versions:
            folder = served_folder.SERVED / entry.name / str(number)
            assert digest(folder) == contents[entry.name, number]


def test_rounds_of_two_promotions_at_once(served):
    tiny, address = served
    pairs = [(("colours", 2), ("edges", 2)), (("colours", 3), ("edges", 1)),
             (("colours", 1), ("colours", 2)), (("colours", 3), ("colours", 3))]  # fmt: skip
    for number in range(ROUNDS):
        started = [
            tiny.start("move", model, version, address, log=f"log{i}")
            for i, (model, version) in enumerate(pairs[number % len(pairs)])
        ]
        for process in started:
            process.join(120)
        printed = [(tiny.folder / f"log{i}").read_text() for i in range(2)]
        assert [process.exitcode for process in started] == [0, 0], printed
        check(address)
        for model, version in pairs[number % len(pairs)]:
            if model == "edges":
                assert registry.aliases_of("edges")["champion"] == version


@pytest.mark.parametrize("command", ["move", "rollback"])
def test_killed_before_each_write(served, command):
    """The next command, of whatever kind, completes what the killed one left."""
    tiny, address = served
    server = ("--server", address)
    words = (
        ("move", "colours", 3, address) if command == "move" else ("rollback", "colours", *server)
    )
    assert tiny.run("move", "colours", 2, address)[0] == 0
    following = [("deploy", *server), ("move", "edges", 1, address), ("move", "edges", 2, address)]
    kills = 1 if command == "move" else 0
    while True:
        code, printed = tiny.run(*words, kill_at=kills)
        if code == 0:
            break
        assert code == -9, printed
        with Client(address) as client:
            (line,) = [one for one in status.compare(client) if one.model == "colours"]
        agree = line.registered == line.configured == line.answering
        assert line.mend or agree, "a difference is shown, and what mends it"
        code, printed = tiny.run(*following[kills // EVERY % 3])
        assert code == 0, printed
        check(address)
        kills += EVERY
        assert tiny.run("move", "colours", 2, address)[0] == 0  # back to where it began
    check(address)
    assert kills >= 6, f"{kills} points only"


def test_killed_at_any_time(served):
    """As before, but at times that no write knows of."""
    tiny, address = served
    chance = random.Random(7)
    ended = 0
    for number in range(ROUNDS):
        server = ("--server", address)
        moves = [
            ("move", "colours", chance.randint(1, 3), address),
            ("rollback", "colours", *server),
        ]
        process = tiny.start(*chance.choice(moves))
        time.sleep(chance.uniform(0.05, 1.0))
        process.kill()
        process.join(30)
        ended += process.exitcode == 0
        code, printed = tiny.run("move", "edges", 1 + number % 2, address)
        assert code == 0, printed
        check(address)
    assert ended < ROUNDS
