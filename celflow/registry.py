"""MLflow's registry: versions of models, their aliases and their lineage.

Other people may register models in the same MLflow: only versions that were registered here count,
which their tags `content` and `task` tell.
"""

import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo

from celflow import changes
from celflow.changes import CHALLENGER as CHALLENGER
from celflow.changes import CHAMPION as CHAMPION
from celflow.changes import PREVIOUS as PREVIOUS
from celflow.changes import Change
from celflow.errors import UserError
from celflow.tracking import connect as connect
from celflow.tracking import default_artifacts as default_artifacts
from celflow.tracking import default_uri as default_uri
from celflow.tracking import is_default as is_default
from celflow.tracking import lock as lock
from celflow.tracking import one_line_errors as one_line_errors
from celflow.tracking import run as run
from celflow.tracking import run_of_fit as run_of_fit

CONTENT, TASK = "content", "task"
ALIAS_DUE = "alias_due"  # tag of a version that has not been given its first alias yet
RUNS_A_QUERY = 500


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


def register(
    model: str,
    run_id: str,
    saved_model: Path,
    content: str,
    tags: dict[str, str],
    description: str | None = None,
) -> tuple[RegisteredVersion, bool]:
    """Register a SavedModel as a version of `model`; returns the version, and whether it is new.

    The first version of a name becomes champion, later ones challenger.

    content: a digest of the SavedModel. Where a version has it already, that one is returned.
    description: what MLflow shows on the version's page, in Markdown.
    """
    client = connect()
    with lock(), one_line_errors():
        _finish(client, model)
        known = with_content(model, content)
        if known is not None:
            return known, False
        with run(model, run_id) as active:
            info = _log_model(saved_model)
            _ensure_model(client, model)
            made = client.create_model_version(
                model, info.model_uri, active.info.run_id,
                tags={**tags, CONTENT: content, ALIAS_DUE: "yes"}, description=description,
                model_id=info.model_id,
            )  # fmt: skip
        number = int(made.version)
        # A clone on another machine, which no lock keeps out, may have been quicker.
        same = [v.version for v in listed(model) if v.tags[CONTENT] == content]
        if min(same, default=number) < number:
            client.delete_model_version(model, str(number))
            return get(model, min(same)), False
        _finish(client, model)
    return get(model, number), True


def finish(model: str) -> None:
    """Complete what a killed command left half done; call it with the `lock` held."""
    with one_line_errors():
        _finish(connect(), model)


def models() -> list[str]:
    """Names of all models that were registered here."""
    return list(aliases())


def listed(model: str | None = None) -> list[RegisteredVersion]:
    """All versions of one model, or of all models, without metrics; 10 000 of them a request."""
    query = None if model is None else f"name = '{_checked(model)}'"
    client = connect()
    with one_line_errors():
        found = _pages(partial(client.search_model_versions, query))
        # The aliases of a version come with the model only.
        named = _pages(partial(client.search_registered_models, query, max_results=1000))
    numbers = {one.name: {a: int(v) for a, v in one.aliases.items()} for one in named}
    return [
        _version(v, numbers.get(v.name, {})) for v in found if CONTENT in v.tags and TASK in v.tags
    ]


def versions(model: str | None = None) -> list[RegisteredVersion]:
    """All versions of a model, the newest first; none for a name that is not registered.

    model: None for those of all models, by name.
    """
    return _with_metrics(sorted(listed(model), key=lambda v: (v.model, -v.version)))


def aliases() -> dict[str, dict[str, int]]:
    """Alias to version, by model; of all models that were registered here."""
    found: dict[str, dict[str, int]] = {}
    for version in listed():
        found.setdefault(version.model, {}).update(dict.fromkeys(version.aliases, version.version))
    return dict(sorted(found.items()))


def aliases_of(model: str) -> dict[str, int]:
    """Alias to version of one model."""
    return {alias: found.version for found in listed(model) for alias in found.aliases}


def get(model: str, version: int) -> RegisteredVersion:
    """One version. Raises UserError where there is none of this number, naming those there are."""
    registered = {found.version: found for found in listed(model)}
    if version in registered:
        return _with_metrics([registered[version]])[0]
    if not registered:
        names = ", ".join(models()) or "none yet: run `dvc repro` or `celflow register`"
        raise UserError(f"no model '{model}' in the registry ({names})")
    numbers = ", ".join(map(str, sorted(registered)))
    raise UserError(f"{model} has no version {version}: it has {numbers}")


def with_alias(model: str, alias: str) -> RegisteredVersion | None:
    """The version that has an alias, or None."""
    number = aliases_of(model).get(alias)
    return None if number is None else get(model, number)


def with_content(model: str, content: str) -> RegisteredVersion | None:
    """The version whose SavedModel has this digest, or None."""
    same = [found for found in listed(model) if found.tags[CONTENT] == content]
    return _with_metrics([min(same, key=lambda v: v.version)])[0] if same else None


def history(model: str) -> list[Change]:
    """All changes of a model's aliases, the first first."""
    with one_line_errors():
        return changes.read(connect(), model)


def plan(version: RegisteredVersion, alias: str, kind: str, **why: Any) -> Change:
    """What giving an alias to a version means; `commit` does it. why: as `changes.plan`."""
    with one_line_errors():
        return changes.plan(connect(), version.model, alias, version.version, kind, **why)


def commit(model: str, change: Change) -> None:
    """Write a change down, then the aliases; call it with the `lock` held."""
    with one_line_errors():
        changes.commit(connect(), model, change)


def set_tag(version: RegisteredVersion, key: str, value: str) -> None:
    """Set a tag of a version."""
    with one_line_errors():
        connect().set_model_version_tag(version.model, str(version.version), key, value)


def parameters(version: RegisteredVersion) -> dict[str, str]:
    """The parameters that its run logged, by name."""
    if not version.run_id:
        return {}
    with one_line_errors():
        return dict(connect().get_run(version.run_id).data.params)


@contextmanager
def saved_model(version: RegisteredVersion) -> Iterator[Path]:
    """A version's SavedModel, copied into a temporary folder; yields that folder."""
    connect()
    uri = f"models:/{version.model}/{version.version}"
    with tempfile.TemporaryDirectory() as temporary:
        with one_line_errors():
            folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=temporary))
        found = next(folder.rglob("saved_model.pb"), None)
        if found is None:
            raise UserError(f"{version.model} version {version.version} holds no SavedModel")
        yield found.parent


def _pages(search: Callable[..., Any]) -> list[Any]:
    """All that a search finds, page by page."""
    found: list[Any] = []
    token: str | None = None
    while token is None or token:
        page = search(page_token=token)
        found += page
        token = page.token or ""
    return found


def _with_metrics(found: list[RegisteredVersion]) -> list[RegisteredVersion]:
    """The same with their runs' metrics: a search for each `RUNS_A_QUERY` runs."""
    client = connect()
    measured: dict[str, dict[str, float]] = {}
    with one_line_errors():
        places = [client.get_experiment_by_name(model) for model in {v.model for v in found}]
        ids = [place.experiment_id for place in places if place is not None]
        runs = sorted({version.run_id for version in found if version.run_id})
        for start in range(0, len(runs) if ids else 0, RUNS_A_QUERY):
            listed = ", ".join(f"'{run_id}'" for run_id in runs[start : start + RUNS_A_QUERY])
            query = f"attributes.run_id IN ({listed})"
            for one in client.search_runs(ids, query, max_results=RUNS_A_QUERY):
                measured[one.info.run_id] = {
                    name.removeprefix("test_"): value
                    for name, value in one.data.metrics.items()
                    if name.startswith("test_")
                }
    return [replace(version, metrics=measured.get(version.run_id, {})) for version in found]


def _version(found: ModelVersion, aliases: dict[str, int]) -> RegisteredVersion:
    return RegisteredVersion(
        model=found.name,
        version=int(found.version),
        aliases=tuple(sorted(a for a, number in aliases.items() if number == int(found.version))),
        run_id=found.run_id or "",
        created=found.creation_timestamp / 1000,
        tags=dict(found.tags),
        metrics={},
    )


def _finish(client: MlflowClient, model: str) -> None:
    changes.finish(client, model)
    for version in sorted(listed(model), key=lambda v: v.version):
        if ALIAS_DUE not in version.tags:
            continue
        history = changes.read(client, model)
        if all(change.version != version.version for change in history):
            # Where the champion is gone, who is next is for people to say.
            first = CHAMPION not in aliases_of(model) and not history
            alias = CHAMPION if first else CHALLENGER
            change = changes.plan(client, model, alias, version.version, "register")
            changes.commit(client, model, change)
        client.delete_model_version_tag(model, str(version.version), ALIAS_DUE)


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
