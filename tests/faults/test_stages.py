"""Stages killed at random moments, on a full disk, at another time, without MLflow; then run again.

What comes of it is byte for byte what an undisturbed run makes, in a folder whose name has spaces
and letters of other scripts, from a params.yaml with Windows line ends.
"""

import hashlib
import os
import random
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..stages.conftest import make_project
from . import stage_process

FULL = bool(os.environ.get("CELFLOW_FAULTS"))
pytestmark = pytest.mark.slow
ROUNDS = 20 if FULL else 1
STAGES = (
    ("clean",), ("facecrop",), ("split",),
    ("train", "colours"), ("evaluate", "colours"), ("export", "colours"), ("register", "colours"),
    ("train", "xception"),
)  # fmt: skip
IDS = [" ".join(stage) for stage in STAGES]
# Runs have random names and times; MLflow's folder holds copies of what is looked at elsewhere.
NOT_COMPARED = ("mlartifacts/", "mlflow.db", "reports/speed/", "celflow/")
DAY = 86_400.0


@dataclass
class House:
    """A project that is put back to what it was before a stage as often as wanted.

    before, after: a digest of each file, by stage. seconds: that each stage takes. log: what the
    last one printed.
    """

    folder: Path
    kept: Path
    before: list[dict[str, str]] = field(default_factory=list)
    after: list[dict[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    log: str = ""

    def put_back(self, place: int) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept / str(place), self.folder)

    def run(
        self, place: int, fault: str = "", amount: float = 0, kill_after: float | None = None
    ) -> int:
        """Run a stage; returns its exit code, -9 where it was killed."""
        printed, pipe = stage_process.CONTEXT.Pipe(duplex=False)  # a file would count as full, too
        arguments = (str(self.folder), list(STAGES[place]), pipe, fault, amount)
        process = stage_process.CONTEXT.Process(target=stage_process.run, args=arguments)
        process.start()
        pipe.close()
        with ThreadPoolExecutor(1) as reader:
            log = reader.submit(Path(f"/dev/fd/{printed.fileno()}").read_text)
            process.join(240 if kill_after is None else kill_after)
            process.kill()
            process.join()
            self.log = log.result()
        assert process.exitcode is not None
        return process.exitcode

    def files(self) -> dict[str, str]:
        """A digest of each file, by its path."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and not name.startswith(NOT_COMPARED):
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def check_nothing_is_half_written(self, place: int) -> None:
        for name, digest in self.files().items():
            if name in self.after[place]:
                whole = (self.before[place].get(name), self.after[place][name])
                assert digest in whole, f"{name} is half written"

    def check_run_again(self, place: int) -> None:
        assert self.run(place) == 0, self.log
        assert self.files() == self.after[place]
        database = self.folder / "mlflow.db"
        if not database.is_file():
            return
        with closing(sqlite3.connect(database)) as connection:
            running = connection.execute("SELECT run_uuid FROM runs WHERE status = 'RUNNING'")
            assert running.fetchall() == []


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    made = House(
        tmp_path_factory.mktemp("faults") / "pictures of ünïcode 漢字",
        tmp_path_factory.mktemp("kept"),
    )
    made.folder.mkdir()
    made.run(0)  # imports TensorFlow, and fails without a project
    make_project(made.folder)
    params = made.folder / "params.yaml"
    params.write_bytes(params.read_bytes().replace(b"\n", b"\r\n"))
    for place in range(len(STAGES)):
        made.before.append(made.files())
        shutil.copytree(made.folder, made.kept / str(place))
        began = time.monotonic()
        assert made.run(place) == 0, made.log
        made.seconds.append(time.monotonic() - began)
        made.after.append(made.files())
        assert made.after[-1] != made.before[-1]
    return made


@pytest.mark.parametrize("place", range(len(STAGES)), ids=IDS)
def test_killed_at_a_random_moment(house, place):
    chance = random.Random(IDS[place])
    killed = 0
    for _ in range(ROUNDS):
        house.put_back(place)
        code = house.run(place, kill_after=chance.uniform(0, house.seconds[place]))
        killed += code == -9
        house.check_nothing_is_half_written(place)
        house.check_run_again(place)
    assert killed or ROUNDS == 1


@pytest.mark.parametrize("place", range(len(STAGES)), ids=IDS)
def test_on_a_disk_that_fills_up(house, place):
    chance = random.Random(IDS[place])
    for number in range(ROUNDS):
        house.put_back(place)
        most = 2 ** chance.uniform(6, 18) if number else 256
        code = house.run(place, "small disk", most)
        assert code in (0, 1), house.log
        assert "Traceback" not in house.log, house.log
        if code:
            assert house.log.strip().splitlines()[-1].startswith("error: ")
        house.check_nothing_is_half_written(place)
        house.check_run_again(place)


def test_a_clock_that_was_turned_back(house):
    for place in (3, 6):
        house.put_back(place)
        assert house.run(place, "clock", DAY) == 0, house.log
        assert house.files() == house.after[place]
        house.check_run_again(place)


@pytest.mark.parametrize("place", [3, 4, 6])
def test_while_mlflow_is_away(house, place):
    house.put_back(place)
    assert house.run(place, "no mlflow") == 1
    assert "Traceback" not in house.log and "error: " in house.log
    house.check_nothing_is_half_written(place)
    house.check_run_again(place)
