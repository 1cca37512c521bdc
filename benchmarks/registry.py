"""What do the commands on versions cost as the registry grows?

`python benchmarks/registry.py [VERSIONS ...]` (default: 5 and 50 of each of ten models, in MLflow's
SQLite file): seconds of each command after imports, median of three, in one process, and those of
one `celflow promote` from start to end. The models are tiny; no server runs.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from celflow import mlops, registry, tracking
from promotion import deploy
from serving.client import Client
from stages.models.common.saved_model import digest

ROOT = Path(__file__).parents[1]
MODELS = [f"model_{number}" for number in range(10)]
NOBODY = "127.0.0.1:1"
ROUNDS = 3


def save(folder: Path, score: float) -> None:
    """A SavedModel that nobody asks anything here."""
    model = tf.Module()
    model.scores = tf.function(
        lambda image_bytes: {"scores": tf.fill([tf.size(image_bytes)], score)},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    tf.saved_model.save(model, str(folder), {"serving_default": model.scores})


def fill(count: int) -> None:
    """Versions 1 and 2 of each model are real; the others have the files of version 2."""
    tags = {"task": "cartoon_or_photo", "labels": json.dumps(["cartoon", "photo"])}
    saved = []
    for number in range(2):
        folder = Path(f"saved{number}")
        save(folder, number / 10)
        saved.append((folder, digest(folder)))
    client = tracking.connect()
    for name in tqdm(MODELS, f"{count} versions", leave=False, disable=None):
        for folder, content in saved:
            with tracking.run(name) as active:
                tracking.mlflow.log_metrics({f"test_metric_{i}": 0.5 for i in range(20)})
            registry.register(name, active.info.run_id, folder, content, tags)
        last = client.get_model_version(name, "2")
        for number in range(3, count + 1):
            with tracking.run(name) as active:
                tracking.mlflow.log_metrics({f"test_metric_{i}": 0.5 for i in range(20)})
            more = {**tags, registry.CONTENT: f"{name} {number}"}
            client.create_model_version(name, last.source, active.info.run_id, tags=more)


def seconds(command: Callable[[], object]) -> float:
    start = time.perf_counter()
    command()
    return time.perf_counter() - start


def measure(count: int) -> dict[str, float]:
    """Seconds by command, in the current folder."""
    name = MODELS[5]
    fill(count)
    mlops.deploy(server=NOBODY)
    commands: dict[str, Callable[[], object]] = {
        "models": mlops.models,
        "show": lambda: mlops.show(name, 2),
        "diff": lambda: mlops.diff(name, 1, 2),
        "history": lambda: mlops.history(name),
        "status": lambda: mlops.status(server=NOBODY),
        "promote --to challenger": lambda: mlops.promote(name, 2, "challenger", server=NOBODY),
        "deploy": lambda: mlops.deploy(server=NOBODY),
    }
    measured = {
        words: statistics.median(seconds(command) for _ in range(ROUNDS))
        for words, command in commands.items()
    }
    with Client(NOBODY) as client:
        deploy.promote(client, registry.get(name, 2), registry.CHAMPION, forced=True)
    measured["rollback"] = seconds(lambda: mlops.rollback(name, server=NOBODY))
    words = ["celflow", "promote", name, "2", "--to", "challenger", "--server", NOBODY]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
    measured["celflow promote, with imports"] = time.perf_counter() - start
    return measured


def main() -> None:
    """Print the table."""
    counts = [int(word) for word in sys.argv[1:]] or [5, 50]
    columns = []
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
            Path("celflow").symlink_to(ROOT / "celflow")
            columns.append(measure(count))
            os.chdir(ROOT)
    table = Table("command", *(f"{len(MODELS)} x {count}" for count in counts))
    for words in columns[0]:
        table.add_row(words, *(f"{column[words]:.2f} s" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
