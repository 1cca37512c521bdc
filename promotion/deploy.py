"""From registry to what is served: champion is version label `stable`, challenger is `canary`.

Writes served/<model>/<version>/ and served/models.config, a TensorFlow Serving config that the
embedded server and the real one read alike; and beside it what the containers need to know:
compose.env for serving/compose.yaml and kubernetes.yaml, a ConfigMap for serving/k8s/. Copies of
batching.config and monitoring.config of serving/config/ are made once, to be changed there.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, rmtree
from textwrap import indent

import numpy as np
from google.protobuf import text_format

from celflow import registry
from celflow.errors import UserError
from celflow.files import atomic_dir, write_bytes
from celflow.images import encode_png
from serving import backends
from serving.client import BadInput, Client, LoadFailed, ServerDown, ServerError
from serving.labels import LABELS
from serving.protos import model_server_config_pb2

SERVED = Path("served")
CONFIG = SERVED / "models.config"
SETTINGS = backends.CONFIG_FILES
COMPOSE_ENV = SERVED / "compose.env"
CONFIG_MAP = SERVED / "kubernetes.yaml"
LOAD_TIMEOUT = 120.0  # seconds for a version to be read, built and warmed

Aliases = dict[str, int]  # alias to version


@dataclass(frozen=True)
class Deployed:
    """What a deployment did.

    aliases: what is served, by model.
    confirmed: whether a running server answers so.
    failed: why a version that was not asked for by name could not be loaded; it is not served.
    """

    aliases: dict[str, Aliases]
    confirmed: bool
    failed: list[str]


def registered_aliases() -> dict[str, Aliases]:
    """The aliases of every registered model: what should be served."""
    return {
        model: {alias: v.version for v in registry.versions(model) for alias in v.aliases}
        for model in registry.models()
    }


def deploy(
    client: Client,
    aliases: Mapping[str, Aliases] | None = None,
    must: Collection[tuple[str, int]] | None = None,
) -> Deployed:
    """Serve `aliases` (default: the registry's); returns when a running server answers so.

    Where a version of `must` (default: every champion) fails to load, config and server stay as
    they were; another one that fails is left out. Where no server runs, the config waits for one.

    Raises:
        UserError: a version of `must` could not be loaded, or the registry is empty.
    """
    wanted = dict(registered_aliases() if aliases is None else aliases)
    if not wanted:
        raise UserError("the registry has no models yet: run `dvc repro`")
    for model, versions in wanted.items():
        for number in {*versions.values()}:
            materialize(registry.get(model, number))
    if not client.healthy():
        _write(build_config(wanted, wanted))
        return Deployed(wanted, confirmed=False, failed=[])
    if must is None:
        must = [(m, a[registry.CHAMPION]) for m, a in wanted.items() if registry.CHAMPION in a]
    with _undone_on_error(client):
        # Labels may only point at versions that are loaded, so those are loaded first.
        before = {model: labels for model, labels in _labels_now().items() if model in wanted}
        failed = _load(client, build_config(wanted, before, also=before), wanted, must)
        served = {
            model: {alias: n for alias, n in versions.items() if (model, n) not in failed}
            for model, versions in wanted.items()
        }
        final = build_config(served, served)
        _write(final)
        client.reload_config(final)
        _confirm(client, served)
    return Deployed(served, confirmed=True, failed=list(failed.values()))


def promote(client: Client, version: registry.RegisteredVersion, alias: str) -> Deployed:
    """Make a version champion or challenger, on the server first, then in the registry.

    The champion before it becomes `previous`, which `rollback` brings back.

    Raises:
        UserError: the server could not load it; then nothing has changed.
    """
    wanted = registered_aliases()
    now = wanted[version.model]
    after = {**now, alias: version.version}
    if alias == registry.CHAMPION:
        if now.get(registry.CHALLENGER) == version.version:
            del after[registry.CHALLENGER]
        if now.get(registry.CHAMPION) not in (None, version.version):
            after[registry.PREVIOUS] = now[registry.CHAMPION]
    must = [(version.model, version.version)]
    deployed = deploy(client, {**wanted, version.model: after}, must)
    for name in {*now, *after}:
        if now.get(name) != after.get(name):
            registry.set_alias(version.model, name, after.get(name))
    return deployed


def previous(model: str) -> registry.RegisteredVersion:
    """The champion before the present one. Raises UserError where there is none."""
    found = registry.with_alias(model, registry.PREVIOUS)
    if found is None:
        if not registry.versions(model):
            registry.get(model, 1)  # says which models there are
        raise UserError(f"{model} has had one champion only: nothing to roll back to")
    return found


def materialize(version: registry.RegisteredVersion) -> Path:
    """Lay a version where the server reads it, whole or not at all; returns the folder."""
    folder = SERVED / version.model / str(version.version)
    content, label = version.tags.get("content", ""), folder / "celflow_content"
    # The number alone is not enough: a new registry counts from 1 again.
    if not label.is_file() or label.read_text() != content:
        with registry.saved_model(version) as source, atomic_dir(folder) as beside:
            copytree(source, beside, dirs_exist_ok=True)
            (beside / label.name).write_text(content)
    return folder


def build_config(
    serve: Mapping[str, Aliases],
    label: Mapping[str, Aliases],
    also: Mapping[str, Aliases] | None = None,
) -> "model_server_config_pb2.ModelServerConfig":
    """A TensorFlow Serving config.

    serve: versions by model; label: which of their aliases become version labels; also: versions
    that stay loaded beside them.
    """
    config = model_server_config_pb2.ModelServerConfig()
    for model, aliases in sorted(serve.items()):
        entry = config.model_config_list.config.add(
            name=model,
            base_path=str((SERVED / model).absolute()),
            model_platform="tensorflow",
        )
        numbers = {*aliases.values(), *(also or {}).get(model, {}).values()}
        entry.model_version_policy.specific.versions.extend(sorted(numbers))
        for alias, number in label.get(model, {}).items():
            if alias in LABELS:
                entry.version_labels[LABELS[alias]] = number
    return config


def read_config() -> "model_server_config_pb2.ModelServerConfig":
    """The config that is written; empty where there is none."""
    config = model_server_config_pb2.ModelServerConfig()
    if CONFIG.is_file():
        text_format.Parse(CONFIG.read_text(encoding="utf-8"), config)
    return config


def tidy() -> None:
    """Remove versions that the config does not name; only for when no server reads them."""
    for entry in read_config().model_config_list.config:
        named = {str(number) for number in entry.model_version_policy.specific.versions}
        for folder in (SERVED / entry.name).iterdir():
            if folder.name not in named:
                rmtree(folder)


def _labels_now() -> dict[str, Aliases]:
    alias_of = {label: alias for alias, label in LABELS.items()}
    return {
        entry.name: {
            alias_of[label]: number
            for label, number in entry.version_labels.items()
            if label in alias_of
        }
        for entry in read_config().model_config_list.config
    }


def config_map(config: "model_server_config_pb2.ModelServerConfig") -> str:
    """A config as a Kubernetes ConfigMap: the models are below /models, or CELFLOW_MODELS_ROOT."""
    root = os.environ.get("CELFLOW_MODELS_ROOT", "").rstrip("/") or "/models"
    there = model_server_config_pb2.ModelServerConfig()
    there.CopyFrom(config)
    for entry in there.model_config_list.config:
        entry.base_path = f"{root}/{entry.name}"
    return (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: celflow-models\n"
        "data:\n  models.config: |\n" + indent(text_format.MessageToString(there), "    ")
    )


def _write(config: "model_server_config_pb2.ModelServerConfig") -> None:
    for file in SETTINGS:
        if not (SERVED / file.name).exists():  # there, it is the user's to change
            write_bytes(SERVED / file.name, file.read_bytes())
    environment = (
        f"{backends.TAG_VARIABLE}={backends.image_tag()}\nCELFLOW_SERVED={SERVED.absolute()}\n"
    )
    for path, text in (
        (COMPOSE_ENV, environment),
        (CONFIG_MAP, config_map(config)),
        (CONFIG, text_format.MessageToString(config)),
    ):
        write_bytes(path, f"# Written by `celflow deploy` from the registry.\n{text}".encode())


@contextmanager
def _undone_on_error(client: Client) -> Iterator[None]:
    before = read_config()
    try:
        yield
    except UserError as error:
        if before.model_config_list.config:
            _write(before)
            with suppress(ServerError):
                client.reload_config(before)
        raise UserError(f"nothing has changed, because {error}") from error


def _load(
    client: Client,
    config: "model_server_config_pb2.ModelServerConfig",
    wanted: Mapping[str, Aliases],
    must: Collection[tuple[str, int]],
) -> dict[tuple[str, int], str]:
    """Let the server load all versions; returns those that failed, and why."""
    try:
        client.reload_config(config)
    except (ServerDown, BadInput):
        raise
    except ServerError:
        pass  # it says that some version failed; the statuses below say which
    failed = {}
    for model, number in {(model, n) for model, a in wanted.items() for n in a.values()}:
        try:
            client.wait_available(model, number, LOAD_TIMEOUT)
        except LoadFailed as error:
            if (model, number) in must:
                raise
            failed[model, number] = str(error)
    return failed


def _confirm(client: Client, wanted: Mapping[str, Aliases]) -> None:
    """Ask every label for an answer, and look which version gave it."""
    picture = encode_png(np.full((64, 64, 3), 127, np.uint8))
    for model, aliases in wanted.items():
        for alias, label in LABELS.items():
            if alias in aliases:
                answered = client.predict(model, [picture], label).version
                if answered != aliases[alias]:
                    raise ServerError(
                        f"{model}:{label} is answered by version {answered}, not {aliases[alias]}",
                        "INTERNAL",
                    )
