"""MLflow's runs of processes that were killed."""

import multiprocessing
import os
import sqlite3
from contextlib import closing

from celflow import tracking

from ..promotion.conftest import saved, store, tiny

__all__ = ["saved", "store", "tiny"]


def test_a_run_of_a_killed_process_does_not_stay_running(tiny):
    with tracking.run("edges") as active:
        mine = active.info.run_id
    client = tracking.connect()
    gone = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
    gone.start()
    gone.join()
    here = client.get_run(mine).data.tags[tracking.PROCESS].rpartition(" ")[0]
    experiment = client.get_experiment_by_name("edges").experiment_id
    killed, elsewhere, alive = (
        client.create_run(experiment, tags={tracking.PROCESS: tag}).info.run_id
        for tag in (f"{here} {gone.pid}", f"other-host {gone.pid}", f"{here} {os.getppid()}")
    )
    with tracking.run("edges", mine):
        pass
    with closing(sqlite3.connect("mlflow.db")) as database:
        rows = dict(database.execute("SELECT run_uuid, status FROM runs").fetchall())
    assert rows[killed] == "KILLED" and rows[mine] == "FINISHED"
    assert rows[elsewhere] == rows[alive] == "RUNNING"
