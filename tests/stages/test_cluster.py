"""The data stages on a cluster: a scheduler and three workers, processes of this machine.

What comes of it is byte for byte what processes of a single machine make, also when a worker is
killed in the middle.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from celflow import parallel
from celflow.errors import UserError
from celflow.images import encode_png
from celflow.parallel import PROCESSES, Workers, parallel_map
from stages import clean, face_finder, facecrop, split

from .conftest import ROOT, Project, flat_drawing, grainy_photo
from .test_face_detector import portrait

WORKERS = 3
PICTURES = 90  # of each class

pytestmark = pytest.mark.slow


class Cluster:
    """Dask's own commands, in a folder that is not the project's."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        file = folder / "scheduler.json"
        self.start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        self.wait_for(file.is_file)
        self.workers = [
            self.start("worker", "--scheduler-file", str(file), "--no-nanny", "--no-dashboard",
                       "--nthreads", "1", "--local-directory", str(folder))
            for _ in range(WORKERS)
        ]  # fmt: skip
        from distributed import Client

        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(WORKERS, timeout=60)
            self.address = client.scheduler.address

    def start(self, what: str, *options: str) -> subprocess.Popen:
        with (self.folder / "log.txt").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", what, "--host", "127.0.0.1", *options],
                cwd=self.folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=log, stderr=log,
            )  # fmt: skip
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, (self.folder / "log.txt").read_text()
            time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        (tmp_path / "elsewhere").mkdir()
        yield Cluster(tmp_path / "elsewhere", stack)


def outputs(project: Project) -> dict[str, str]:
    """A digest of each file that the stages made."""
    made = [project.folder / "data", project.folder / "reports"]
    return {
        str(path.relative_to(project.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in made
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_killed_worker_changes_nothing(project: Project, cluster: Cluster):
    for i in range(PICTURES):
        project.put(f"cartoon_or_photo/cartoon/{i}.png", flat_drawing(i))
        project.put(f"cartoon_or_photo/photo/{i}.jpg", grainy_photo(i))
    params = project.configure({"data": {"backend": "loky"}})
    for stage in (clean, facecrop, split):
        stage.run(params)
    expected = outputs(project)
    cache = project.folder / ".cache"
    assert len(expected) > 2 * PICTURES
    cache.rename(project.folder / "cache of before")

    params = project.configure({"data": {"backend": "dask", "cluster": cluster.address}})
    entries: list[int] = []

    def kill_one() -> None:
        cluster.wait_for(lambda: len(list(cache.rglob("*"))) > PICTURES / 3)
        cluster.workers[0].kill()
        entries.append(len(list(cache.rglob("*"))))

    killer = threading.Thread(target=kill_one)
    killer.start()
    for stage in (clean, facecrop, split):
        stage.run(params)
    killer.join()
    assert entries[0] < PICTURES * 2, "it was killed in the middle"
    assert cluster.workers[0].wait() != 0
    assert [worker.poll() for worker in cluster.workers[1:]] == [None, None]
    assert outputs(project) == expected


def test_its_workers_load_the_face_detector(
    project: Project, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    for i in range(12):
        project.put(f"characters/aki/face{i}.png", encode_png(portrait(i).pixels))
    settings = {"detector": "auto", "on_miss": "keep"}
    params = project.configure({"facecrop": settings})
    for stage in (clean, facecrop):
        stage.run(params)
    expected = outputs(project)
    assert json.loads(Path("reports/facecrop.json").read_text())["with_face"] >= 11
    shutil.rmtree(".cache")

    monkeypatch.setitem(facecrop.FEW, "auto", 0)
    monkeypatch.setattr(face_finder, "_load", lambda _: pytest.fail("not here"))
    workers = {"backend": "dask", "cluster": cluster.address}
    params = project.configure({"facecrop": settings, "data": workers})
    for stage in (clean, facecrop):
        stage.run(params)
    assert outputs(project) == expected


def test_without_an_address_it_is_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").write_text("seen")
    found = parallel_map(read_relative, ["here.txt"] * 5, Workers(backend="dask"), "read")
    assert found == ["seen"] * 5 == parallel_map(read_relative, ["here.txt"] * 5, PROCESSES, "read")


def read_relative(name: str) -> str:
    return Path(name).read_text()


def test_an_address_where_nobody_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parallel, "PATIENCE", 1)
    nobody = Workers(backend="dask", cluster="tcp://127.0.0.1:1")
    with pytest.raises(UserError, match="nobody answers there"):
        parallel_map(read_relative, [], nobody, "read")


def test_an_address_for_nobody(project: Project):
    with pytest.raises(UserError, match=r"cluster needs data\.backend: dask or ray"):
        project.configure({"data": {"backend": "loky", "cluster": "tcp://127.0.0.1:1"}})
