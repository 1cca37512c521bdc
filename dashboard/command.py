"""Commands of the command line, run by a page: what it does there, it does here.

They run in a process of their own: the page stays free of TensorFlow, and never waits for ever.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from celflow import rooms
from serving.client import default_address

READ_ONLY = "CELFLOW_READ_ONLY"  # set to 1: visitors may look and try, and change nothing


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    lines: what it printed.
    error: why it failed, in a line; empty where it did not.
    """

    lines: str
    error: str

    def json(self) -> Any:
        """What `--json` printed; None where it printed none."""
        try:
            return json.loads(self.lines)
        except ValueError:
            return None


def read_only() -> bool:
    """Whether visitors may change nothing."""
    return os.environ.get(READ_ONLY, "") not in ("", "0")


def run(words: Sequence[str | int], timeout: float = 60) -> Outcome:
    """Run `celflow` with these words. timeout: seconds, after which it is ended."""
    command = [sys.executable, "-m", "celflow", *map(str, words)]
    environment = {**rooms.environment(), "CELFLOW_SERVER": default_address(), "COLUMNS": "200"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome("", f"`celflow {words[0]}` took longer than {timeout:g} s: is MLflow up?")
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode == 0:
        return Outcome(done.stdout, "")
    last = errors[-1].removeprefix("error: ") if errors else f"exit code {done.returncode}"
    return Outcome(done.stdout, last)
