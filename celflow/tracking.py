"""Where MLflow keeps things: the connection, its lock, and the runs of a model.

By default that is a SQLite file and a folder of artifacts, both in the project; a project that is
moved or copied takes them along.
"""

import hashlib
import logging
import os
import platform
import sqlite3
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout

from celflow.errors import Unavailable, UserError, of_the_disk
from celflow.params import PARAMS_FILE

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import psutil
import sqlalchemy
from mlflow import ActiveRun, MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(
    logging.CRITICAL
)  # tracebacks of what it raises

LOCK_TIMEOUT = 600.0  # seconds to wait for another command
ANSWER_TIMEOUT = 3.0  # seconds for a server to say that it is there
ARTIFACTS = "mlartifacts"
PROCESS = "celflow.process"  # tag of a run: host and number of the process that is at it
# Where MLflow's tables hold a URI of a file, which it makes absolute.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def home() -> Path:
    """The folder that holds the default store: this one or, in an experiment, the project's.

    `dvc exp run --queue` and `--temp` work in a copy of the project, under its .dvc/tmp; DVC_ROOT
    names the project.
    """
    here = Path.cwd()
    project = Path(os.environ.get("DVC_ROOT", here)).resolve()
    return project if project / ".dvc" / "tmp" in here.parents else here


def default_uri() -> str:
    """Where runs and versions go unless `MLFLOW_TRACKING_URI` says otherwise."""
    return _uri(home() / "mlflow.db")


def _uri(database: Path) -> str:
    """Of a SQLite file. SQLAlchemy decodes what 2.1 encodes, and 2.0 does neither."""
    return sqlalchemy.URL.create("sqlite", database=str(database)).render_as_string()


def default_artifacts() -> str:
    """URI of the folder that files of runs and versions go to in that case."""
    return (home() / ARTIFACTS).as_uri()


def is_default() -> bool:
    """Whether runs and versions go into the SQLite file of the project."""
    return bool(mlflow.get_tracking_uri() == default_uri())


def connect() -> MlflowClient:
    """A client for `MLFLOW_TRACKING_URI`, or for the SQLite file of the project.

    Raises:
        UserError: the SQLite file would be made outside of a project, or no server answers.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(default_uri())
    uri = mlflow.get_tracking_uri()
    if is_default():
        if not PARAMS_FILE.is_file():
            raise UserError(f"no {PARAMS_FILE} here: run from the project's folder")
        with one_line_errors():
            _make_store(home())
        _follow_move(home())
    elif uri.startswith(("http://", "https://")):
        _check_answers(uri)
    # By default MLflow retries a server that is down for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with one_line_errors():
        return MlflowClient()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn MLflow's errors into a `UserError`."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        uri = mlflow.get_tracking_uri()
        words = of_the_disk(error) or " ".join(str(error).split())
        if "Max retries exceeded" in words or "Connection" in words:
            raise _down(uri) from error
        raise UserError(f"MLflow at {uri}: {words[:300]}") from error


@contextmanager
def lock() -> Iterator[None]:
    """Hold what changes versions and aliases: one process on this machine at a time.

    Raises:
        UserError: another command holds it for longer than `LOCK_TIMEOUT`.
    """
    connect()
    if is_default():
        path = home() / "mlflow.db.lock"
    else:
        name = hashlib.sha256(mlflow.get_tracking_uri().encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"celflow-{os.getuid()}-{name}.lock"
    with hold(path):
        yield


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a file's lock, which the system gives back when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=LOCK_TIMEOUT, is_singleton=True):
            yield
    except Timeout:
        raise UserError(f"another celflow command holds {path}: wait until it has ended") from None


@contextmanager
def run(model: str, run_id: str | None = None) -> Iterator[ActiveRun]:
    """A run in the model's experiment: a new one, or `run_id` continued.

    A run ends `FINISHED` or, where the block raises, `FAILED`.
    """
    client = connect()
    with one_line_errors():
        _ensure_experiment(client, model)
        mlflow.set_experiment(model)
        _end_abandoned(client, model)
        if run_id and not _exists(client, run_id):
            run_id = None
        tags = {PROCESS: f"{platform.node()} {os.getpid()}"}
        with mlflow.start_run(
            run_id=run_id, tags=tags, log_system_metrics=run_id is None
        ) as started:
            yield started


@contextmanager
def run_of_fit(model: str, fit_key: str) -> Iterator[ActiveRun]:
    """The run in which a model was trained, open again; the latest with this tag `fit_key`.

    A new run takes its place where MLflow has none: the model came by `dvc pull`, say.
    """
    client = connect()
    with one_line_errors():
        experiment = client.get_experiment_by_name(model)
        found = [] if experiment is None else client.search_runs(
            [experiment.experiment_id], f"tags.fit_key = '{fit_key}'", max_results=1
        )  # fmt: skip
    with run(model, found[0].info.run_id if found else None) as active:
        mlflow.set_tag("fit_key", fit_key)
        yield active


def _ensure_experiment(client: MlflowClient, model: str) -> None:
    if client.get_experiment_by_name(model) is not None:
        return
    try:
        place = default_artifacts() if is_default() else None
        client.create_experiment(model, artifact_location=place)
    except MlflowException as error:  # another clone was quicker
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _end_abandoned(client: MlflowClient, model: str) -> None:
    """Mark as KILLED the runs of processes of this machine that are no more."""
    experiment = client.get_experiment_by_name(model)
    for one in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
        host, _, process = one.data.tags.get(PROCESS, "").rpartition(" ")
        if host == platform.node() and not psutil.pid_exists(int(process)):
            client.set_terminated(one.info.run_id, "KILLED")


def _exists(client: MlflowClient, run_id: str) -> bool:
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False


@cache
def _make_store(project: Path) -> None:
    """Make MLflow's tables, where there are none, once: it does not expect others at it."""
    store, beside = project / "mlflow.db", project / "mlflow.db.new"
    if store.is_file():
        return
    with hold(project / "mlflow.db.new.lock"):
        if store.is_file():
            return
        beside.unlink(missing_ok=True)  # of one that was killed
        MlflowClient(_uri(beside)).search_experiments(max_results=1)
        beside.replace(store)


@cache
def _follow_move(project: Path) -> None:
    """Let a store whose project was moved or copied name the artifacts that lie beside it.

    MLflow has no call for that: it writes absolute URIs, once, and for its own `mlruns` a path.
    """
    store, here = project / "mlflow.db", project.as_uri()
    if not store.is_file():
        return
    with closing(sqlite3.connect(store, timeout=60)) as database, database:
        try:
            rows = database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        except sqlite3.OperationalError:  # MLflow has not made its tables yet
            return
        try:
            for there in {_project_of(place) for (place,) in rows} - {"", here}:
                for old in (there, url2pathname(urlsplit(there).path)):
                    _replace(database, f"{old}/", f"{here}/")
        except sqlite3.OperationalError as error:  # in a folder that is read only
            print(f"{store} can't follow the move of its project: {error}", file=sys.stderr)


def _project_of(place: str) -> str:
    """The URI of the project whose artifacts lie at `place`; empty where that is no file of one."""
    project, folder, below = place.rpartition(f"/{ARTIFACTS}")
    is_one = place.startswith("file://") and folder and below[:1] in ("", "/")
    return project if is_one else ""


def _replace(database: sqlite3.Connection, old: str, new: str) -> None:
    """Let all that begins with `old` begin with `new`."""
    for table, column in _PLACES:
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE substr({column}, 1, ?) = ?",
            (new, len(old) + 1, len(old), old),
        )


@cache
def _check_answers(uri: str) -> None:
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_TIMEOUT).close()
    except urllib.error.HTTPError:
        pass  # whatever it says, it is there
    except OSError:
        raise _down(uri) from None


def _down(uri: str) -> Unavailable:
    return Unavailable(
        f"no MLflow answers at {uri}: start it, or unset MLFLOW_TRACKING_URI for the project's own"
    )
