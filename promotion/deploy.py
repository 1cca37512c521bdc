"""Bring what the registry says to a running model server; promote a version, and roll back.

The server answers for a version before the registry calls it champion or challenger, so what fails
to load changes nothing. The files are written by serving_config.py and served_folder.py.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from celflow import registry
from celflow.errors import UserError
from celflow.images import encode_png
from promotion import serving_config
from promotion.served_folder import materialize
from promotion.serving_config import Aliases
from serving.client import BadInput, Client, LoadFailed, ServerDown, ServerError
from serving.labels import LABELS
from serving.protos import model_server_config_pb2

LOAD_TIMEOUT = 120.0  # seconds for a version to be read, built and warmed


@dataclass(frozen=True)
class Deployed:
    """What a deployment did.

    aliases: what is served, by model.
    confirmed: whether a running server was asked and answers with these versions.
    failed: for each optional version that could not be loaded, and so is not served, the reason.
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
    """Serve `aliases` (default: the registry's); returns when a running server answers with them.

    client: of the server; where none runs, the files are written for the next one to start.
    aliases: versions to serve, by model.
    must: model and number of the versions that have to load (default: every champion). Where one
        of them fails, config and server stay as they were; any other that fails is left out.

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
        serving_config.write(serving_config.build(wanted, wanted))
        return Deployed(wanted, confirmed=False, failed=[])
    if must is None:
        must = [(m, a[registry.CHAMPION]) for m, a in wanted.items() if registry.CHAMPION in a]
    with _restored_on_error(client):
        # Labels may only point at versions that are loaded, so those are loaded first.
        labelled = serving_config.labelled(serving_config.read())
        before = {model: served for model, served in labelled.items() if model in wanted}
        failed = _load(client, serving_config.build(wanted, before, also=before), wanted, must)
        served = {
            model: {alias: n for alias, n in versions.items() if (model, n) not in failed}
            for model, versions in wanted.items()
        }
        final = serving_config.build(served, served)
        serving_config.write(final)
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


def previous_champion(model: str) -> registry.RegisteredVersion:
    """The champion before the present one, for a rollback. Raises UserError where there is none."""
    found = registry.with_alias(model, registry.PREVIOUS)
    if found is None:
        if not registry.versions(model):
            registry.get(model, 1)  # says which models there are
        raise UserError(f"{model} has had only one champion: there is nothing to roll back to")
    return found


@contextmanager
def _restored_on_error(client: Client) -> Iterator[None]:
    before = serving_config.read()
    try:
        yield
    except UserError as error:
        if before.model_config_list.config:
            serving_config.write(before)
            with suppress(ServerError):
                client.reload_config(before)
        raise UserError(f"nothing has changed, because {error}") from error


def _load(
    client: Client,
    config: model_server_config_pb2.ModelServerConfig,
    wanted: Mapping[str, Aliases],
    must: Collection[tuple[str, int]],
) -> dict[tuple[str, int], str]:
    """Let the server load all versions; returns those that failed, with the reason."""
    try:
        client.reload_config(config)
    except (ServerDown, BadInput):
        raise
    except ServerError:
        pass  # some version failed; the statuses below say which
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
    """Send each label a picture, and check that the version it stands for answers."""
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
