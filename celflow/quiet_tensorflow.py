"""TensorFlow's import, without the lines by which its libraries introduce themselves.

They write them while they are loaded, before `TF_CPP_MIN_LOG_LEVEL` means anything to them.
"""

import os
import sys
import threading

_INTRODUCTION = (b"WARNING: All log messages before absl::InitializeLog()", b"I0000 ")


def import_tensorflow() -> None:
    """Import TensorFlow; all else that is written to stderr meanwhile is passed on."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it calls it an error to have no GPU
    stderr, (reading, writing) = os.dup(2), os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    passing_on = threading.Thread(target=_pass_on, args=(reading, os.dup(stderr)), daemon=True)
    passing_on.start()
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        passing_on.join(1)  # longer only if a process was started that has the pipe, too


def _pass_on(reading: int, stderr: int) -> None:
    with open(reading, "rb") as lines, open(stderr, "wb", buffering=0) as shown:
        for line in lines:
            if not line.startswith(_INTRODUCTION):
                shown.write(line)
