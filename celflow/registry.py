"""MLflow's runs and registry: versions of models, their aliases and their lineage."""

import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from celflow.errors import UserError
from celflow.params import PARAMS_FILE

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import ActiveRun, MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo

for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


@dataclass(frozen=True)
class RegisteredVersion:
    """A registered version of a model.

    aliases: any of `champion`, `challenger` and `previous` (the last champion before this one).
    created: seconds since 1970.
    metrics: those on the test set, by name.
    """

    model: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    created: float
    tags: dict[str, str] = field(repr=False)
    metrics: dict[str, float] = field(repr=False)


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
    return f"sqlite:///{home() / 'mlflow.db'}"


def default_artifacts() -> str:
    """URI of the folder that files of runs and versions go to in that case."""
    return (home() / "mlartifacts").as_uri()


def connect() -> MlflowClient:
    """A client for `MLFLOW_TRACKING_URI`, or for the SQLite file of the project.

    Raises:
        UserError: the SQLite file would be made outside of a project.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(default_uri())
    if is_default() and not PARAMS_FILE.is_file():
        raise UserError(f"no {PARAMS_FILE} here: run from the project's folder")
    # By default MLflow retries a server that is down for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    return MlflowClient()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn MLflow's errors into a `UserError`."""
    try:
        yield
    except MlflowException as error:
        uri = mlflow.get_tracking_uri()
        raise UserError(f"MLflow at {uri}: {' '.join(str(error).split())[:300]}") from error


@contextmanager
def run(model: str, run_id: str | None = None) -> Iterator[ActiveRun]:
    """A run in the model's experiment: a new one, or `run_id` continued.

    A run ends `FINISHED` or, where the block raises, `FAILED`.
    """
    client = connect()
    with one_line_errors():
        if client.get_experiment_by_name(model) is None:
            place = default_artifacts() if is_default() else None
            client.create_experiment(model, artifact_location=place)
        mlflow.set_experiment(model)
        if run_id and not _exists(client, run_id):
            run_id = None
        with mlflow.start_run(run_id=run_id, log_system_metrics=run_id is None) as started:
            yield started


@contextmanager
def run_of_fit(model: str, fit_key: str) -> Iterator[mlflow.ActiveRun]:
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


def register(
    model: str, run_id: str, saved_model: Path, content: str, tags: dict[str, str]
) -> tuple[RegisteredVersion, bool]:
    """Register a SavedModel as a version of `model`; returns the version, and whether it is new.

    The first version of a name becomes champion, later ones challenger.

    content: a digest of the SavedModel. Where a version has it already, that one is returned.
    """
    client = connect()
    with one_line_errors():
        known = with_content(model, content)
        if known is not None:
            return known, False
        first = not versions(model)
        with run(model, run_id) as active:
            info = _log_model(saved_model)
            if first:
                _ensure_model(client, model)
            made = client.create_model_version(
                model, info.model_uri, active.info.run_id, tags={**tags, "content": content},
                model_id=info.model_id,
            )  # fmt: skip
        client.set_registered_model_alias(model, CHAMPION if first else CHALLENGER, made.version)
    return get(model, int(made.version)), True


def models() -> list[str]:
    """Names of all registered models."""
    with one_line_errors():
        return sorted(found.name for found in connect().search_registered_models())


def versions(model: str) -> list[RegisteredVersion]:
    """All versions of a model, the newest first; none for a name that is not registered."""
    client = connect()
    with one_line_errors():
        found = client.search_model_versions(f"name = '{_checked(model)}'")
        if not found:
            return []
        aliases = client.get_registered_model(model).aliases
        return sorted((_version(client, v, aliases) for v in found), key=lambda v: -v.version)


def get(model: str, version: int) -> RegisteredVersion:
    """One version. Raises UserError where there is none of this number, naming those there are."""
    registered = versions(model)
    for found in registered:
        if found.version == version:
            return found
    if not registered:
        names = ", ".join(models()) or "none yet: run `dvc repro`"
        raise UserError(f"no model '{model}' in the registry ({names})")
    numbers = ", ".join(str(v.version) for v in reversed(registered))
    raise UserError(f"{model} has no version {version}: it has {numbers}")


def with_alias(model: str, alias: str) -> RegisteredVersion | None:
    """The version that has an alias, or None."""
    return next((v for v in versions(model) if alias in v.aliases), None)


def with_content(model: str, content: str) -> RegisteredVersion | None:
    """The version whose SavedModel has this digest, or None."""
    return next((v for v in versions(model) if v.tags.get("content") == content), None)


def set_alias(model: str, alias: str, version: int | None) -> None:
    """Give an alias to a version; None removes the alias."""
    client = connect()
    with one_line_errors():
        if version is None:
            client.delete_registered_model_alias(model, alias)
        else:
            client.set_registered_model_alias(model, alias, str(version))


def set_tag(version: RegisteredVersion, key: str, value: str) -> None:
    """Set a tag of a version."""
    with one_line_errors():
        connect().set_model_version_tag(version.model, str(version.version), key, value)


@contextmanager
def saved_model(version: RegisteredVersion) -> Iterator[Path]:
    """A version's SavedModel, copied into a temporary folder; yields that folder."""
    connect()
    uri = f"models:/{version.model}/{version.version}"
    with tempfile.TemporaryDirectory() as temporary, one_line_errors():
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=temporary))
        found = next(folder.rglob("saved_model.pb"), None)
        if found is None:
            raise UserError(f"{version.model} version {version.version} holds no SavedModel")
        yield found.parent


def is_default() -> bool:
    """Whether runs and versions go into the SQLite file of the project."""
    return bool(mlflow.get_tracking_uri() == default_uri())


def _exists(client: MlflowClient, run_id: str) -> bool:
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False


def _checked(model: str) -> str:
    if not re.fullmatch(r"[\w.-]+", model):
        raise UserError(f"no model '{model}' in the registry")
    return model


def _ensure_model(client: MlflowClient, model: str) -> None:
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(
    client: MlflowClient, found: ModelVersion, aliases: dict[str, str]
) -> RegisteredVersion:
    metrics = client.get_run(found.run_id).data.metrics if found.run_id else {}
    return RegisteredVersion(
        model=found.name,
        version=int(found.version),
        aliases=tuple(sorted(a for a, v in aliases.items() if int(v) == int(found.version))),
        run_id=found.run_id or "",
        created=found.creation_timestamp / 1000,
        tags=dict(found.tags),
        metrics={k.removeprefix("test_"): v for k, v in metrics.items() if k.startswith("test_")},
    )


def _log_model(folder: Path) -> ModelInfo:
    from importlib.metadata import version as installed

    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    # MLflow warns that there is no input example; the signature says enough.
    logging.getLogger("mlflow.pyfunc").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*input example was not provided.*")
    info: ModelInfo = mlflow.pyfunc.log_model(
        name="model",
        loader_module="celflow.pyfunc",
        data_path=str(folder),
        code_paths=["celflow"],
        signature=ModelSignature(inputs=Schema([ColSpec("binary", "image_bytes")])),
        pip_requirements=[f"{name}=={installed(name)}" for name in ("tensorflow", "pandas")],
    )
    return info
