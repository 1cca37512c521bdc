"""A stage of the pipeline in a process of its own, forked from one that has imported TensorFlow."""

import multiprocessing
import os
import resource
import runpy
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["stages.clean", "stages.facecrop", "stages.split", "stages.train", "stages.evaluate",
     "stages.export", "stages.register", "stages.models.common.table", __name__]
)  # fmt: skip


def run(folder: str, words: list[str], log: Connection, fault: str, amount: float) -> None:
    """`python -m stages.WORDS` in a folder, its output in a pipe, and a fault, if any.

    fault: `small disk`, on which no file grows over `amount` bytes, `clock`, which is `amount`
    seconds slow, or `no mlflow`: nobody listens where MLFLOW_TRACKING_URI points.
    """
    os.chdir(folder)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    log.close()
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    if fault == "small disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(amount), resource.RLIM_INFINITY))
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if fault == "no mlflow":
        os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:1"
    if fault == "clock":
        now = time.time
        time.time = lambda: now() - amount
    sys.argv = [words[0], *words[1:]]
    code: Any = 0
    try:
        runpy.run_module(f"stages.{words[0]}", run_name="__main__")
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 99
    os._exit(int(code))
