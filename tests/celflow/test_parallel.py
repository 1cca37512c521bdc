"""Work on many files at once."""

import subprocess
import sys
import time

import psutil
import pytest

from celflow.parallel import PROCESSES, THREADS, map_new, parallel_map

CODE = """
import os, time
from pathlib import Path
from celflow.parallel import PROCESSES, parallel_map

def work(number):
    Path(f"{os.getpid()}").touch()
    time.sleep(60)

if hasattr(os, "sched_setaffinity"):  # one core starts no process
    os.sched_setaffinity(0, range(os.cpu_count()))
parallel_map(work, range(4), PROCESSES, "work")
"""


@pytest.mark.slow
def test_no_worker_outlives_a_stage_that_was_killed(tmp_path):
    stage = subprocess.Popen([sys.executable, "-c", CODE], cwd=tmp_path, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not any(tmp_path.iterdir()):
        assert time.monotonic() < end, "no worker starts"
        time.sleep(0.05)
    workers = psutil.Process(stage.pid).children(recursive=True)
    assert workers
    stage.kill()
    stage.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("few", [1, 10])
def test_what_is_new_is_made_and_stands_in_its_place(few):
    def known(number: int) -> str | None:
        return f"known {number}" if number % 2 else None

    def make(number: int) -> str | None:
        return None if number == 4 else f"made {number}"

    found = map_new(known, make, range(6), PROCESSES, "numbers", few)
    assert found == ["made 0", "known 1", "made 2", "known 3", "known 5"]
    assert map_new(None, make, range(2), THREADS, "numbers", few) == ["made 0", "made 1"]


def test_with_one_core_this_process_does_the_work(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert parallel_map(one_more, range(3), PROCESSES, "numbers") == [1, 2, 3]
    time.sleep(1)  # it would have ended itself


def one_more(number: int) -> int:
    return number + 1
