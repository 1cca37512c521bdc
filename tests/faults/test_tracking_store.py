"""MLflow's store under ten processes at once, from the first moment on, and with odd values."""

import math
import multiprocessing
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow

from celflow import tracking

from ..stages.conftest import make_project

PROCESSES, EPOCHS = 10, 20
LONG = "x" * 7_000  # MLflow keeps 6 000 characters of a parameter


def log_a_run(folder: Path, number: int) -> None:
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tracking.run(f"model{number % 3}"):
        mlflow.log_params({"number": number, "long": LONG})
        mlflow.set_tags({"long": 2 * LONG})
        for epoch in range(EPOCHS):
            mlflow.log_metrics({"loss": math.nan, "val_loss": math.inf, "epoch": epoch}, step=epoch)


def test_ten_processes_on_a_store_that_is_not_there_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path)
    context = multiprocessing.get_context("forkserver")  # to import MLflow ten times takes a minute
    context.set_forkserver_preload([__name__])
    processes = [
        context.Process(target=log_a_run, args=(tmp_path, number)) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    with closing(sqlite3.connect("mlflow.db")) as database:

        def rows(what: str) -> list[tuple]:
            return database.execute(what).fetchall()

        assert rows("SELECT status, count(*) FROM runs GROUP BY status") == [
            ("FINISHED", PROCESSES)
        ]
        assert rows("SELECT count(*) FROM metrics WHERE key = 'epoch'") == [(PROCESSES * EPOCHS,)]
        assert rows("SELECT count(*) FROM metrics WHERE key = 'loss' AND is_nan") == [
            (PROCESSES * EPOCHS,)
        ]
        assert rows("SELECT DISTINCT length(value) FROM params WHERE key = 'long'") == [(6000,)]
        assert rows("SELECT name FROM experiments WHERE name LIKE 'model%' ORDER BY name") == [
            (f"model{number}",) for number in range(3)
        ]
        assert rows("PRAGMA integrity_check") == [("ok",)]
