"""`celflow` in a process of its own, forked from one that has imported what commands need."""

import multiprocessing
import os
import resource
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
LOG = "log.txt"


def start(folder: Path, words: list[str], most: int | None = None) -> BaseProcess:
    """Run `celflow WORDS` in a folder; what it prints goes to `LOG`.

    most: bytes that a file may have.
    """
    process = CONTEXT.Process(target=_celflow, args=(folder, words, most))
    process.start()
    return process


def _celflow(folder: Path, words: list[str], most: int | None) -> None:
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # of the test in which the forkserver started
    if most is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    log = os.open(LOG, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["celflow", *words]
    from cli.main import main

    main()
