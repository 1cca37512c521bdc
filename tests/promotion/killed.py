"""The command line in a process of its own, killed just before one of its writes where asked for.

A process is forked from one that has imported what commands need, which takes no time.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["cli.main", "mlflow", "promotion.deploy", "promotion.status", "promotion.gate",
     "promotion.register_exports", "stages.models.common.saved_model", __name__]
)  # fmt: skip


def celflow(
    folder: str, words: list[str], log: str, kill_at: int | None, mlflow: str | None
) -> None:
    """In a process of its own: `celflow WORDS`; see `kill_before`.

    mlflow: MLFLOW_TRACKING_URI.
    """
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if mlflow:
        os.environ["MLFLOW_TRACKING_URI"] = mlflow
    with Path(log).open("w", buffering=1) as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        sys.stdout = sys.stderr = out
        sys.argv = ["celflow", *words]
        if kill_at is not None:
            kill_before(kill_at)
        code: Any = 0
        try:
            _command(words)
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
            code = 99
        out.flush()
    os._exit(int(code))


def _command(words: list[str]) -> None:
    """`celflow WORDS`, or one of two of our own.

    `move MODEL VERSION ADDRESS [REASON]` is a promotion past the gate, `add MODEL KIND FOLDER`
    registers what tiny.py has saved in FOLDER.
    """
    from celflow import errors, registry
    from cli.main import main
    from promotion import deploy
    from serving.client import Client

    def move(model: str, number: str, address: str, reason: str = "") -> None:
        version = registry.get(model, int(number))
        with Client(address) as client:
            deploy.promote(client, version, "champion", reason=reason, forced=True)

    def add(model: str, kind: str, saved: str) -> None:
        from .tiny import TinyProject

        print(TinyProject(Path.cwd(), Path(saved)).register(model, kind).version)

    if words[0] not in ("move", "add"):
        return main()
    errors.run(lambda: {"move": move, "add": add}[words[0]](*words[1:]))


def kill_before(number: int) -> None:
    """Let `number` writes to MLflow, served/ or the server happen; the next one is a kill -9."""
    from mlflow import MlflowClient

    from promotion import serving_config, transition
    from serving.client import Client

    writes: list[tuple[Any, str]] = [
        (MlflowClient, "create_registered_model"),
        (MlflowClient, "create_model_version"),
        (MlflowClient, "set_registered_model_alias"),
        (MlflowClient, "delete_registered_model_alias"),
        (MlflowClient, "set_registered_model_tag"),
        (MlflowClient, "delete_model_version_tag"),
        (Client, "reload_config"),
        (serving_config, "write"),
        (transition, "_remember"),
    ]
    left = number

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return write(*args, **options)

        return call

    for owner, name in writes:
        setattr(owner, name, counted(getattr(owner, name)))
