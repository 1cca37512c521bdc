"""Bring what the registry says to a running model server; promote a version, and roll back.

The server answers for a version before the registry calls it champion or challenger, so what fails
to load changes nothing. The files are written by serving_config.py and served_folder.py; one
process at a time does any of this, and completes what a killed one left (transition.py).
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from celflow import changes, registry
from celflow.changes import Change
from celflow.errors import UserError
from celflow.images import encode_png
from promotion import serving_config, transition
from promotion.served_folder import materialize
from promotion.serving_config import Aliases
from serving.client import BadInput, Client, LoadFailed, ServerDown, ServerError
from serving.labels import LABELS
from serving.protos import model_server_config_pb2

LOAD_TIMEOUT = 120.0  # seconds for a version to be read, built and warmed
SERVED_ALIASES = (registry.CHAMPION, registry.CHALLENGER, registry.PREVIOUS)


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


def deploy(client: Client) -> Deployed:
    """Serve what the registry says; returns when a running server answers with it.

    client: of the server; where none runs, the files are written for the next one to start.

    Raises:
        UserError: a champion could not be loaded, or the registry is empty; then config and server
            are as they were. Other versions that fail are left out.
    """
    with transition.holding():
        for model in registry.models():
            registry.finish(model)
        wanted = {
            model: {alias: n for alias, n in aliases.items() if alias in SERVED_ALIASES}
            for model, aliases in registry.aliases().items()
        }
        if not wanted:
            raise UserError("the registry has no models: run `dvc repro` or `celflow register`")
        unnamed = [f"{m}: no version has an alias" for m, aliases in wanted.items() if not aliases]
        wanted = {model: aliases for model, aliases in wanted.items() if aliases}
        must = [(m, a[registry.CHAMPION]) for m, a in wanted.items() if registry.CHAMPION in a]
        with transition.journal([*wanted, *transition.unfinished()]):
            deployed = serve(client, wanted, must, everything=True)
        return Deployed(deployed.aliases, deployed.confirmed, [*deployed.failed, *unnamed])


def promote(
    client: Client, version: registry.RegisteredVersion, alias: str, compared: int | None = None,
    reason: str = "", gate: str = "", forced: bool = False,
) -> Deployed:  # fmt: skip
    """Make a version champion or challenger, on the server first, then in the registry.

    No other model is touched. compared: the champion that the gate compared with; it must be
    champion still, unless `forced`. reason, gate: for the history.

    Raises:
        UserError: the server could not load it; then nothing has changed.
    """
    model = version.model
    with transition.holding(), transition.completed(client, model, sync):
        version = registry.get(model, version.version)
        change = registry.plan(version, alias, "promote", reason=reason, gate=gate, forced=forced)
        champion = change.before.get(registry.CHAMPION)
        if compared is not None and champion not in (compared, version.version) and not forced:
            raise UserError(
                f"version {champion} has become champion of {model} since the gate compared with "
                f"version {compared}: promote again"
            )
        return _carry_out(client, model, change)


def rollback(
    client: Client, model: str, reason: str = "", watched: int | None = None
) -> tuple[Deployed, registry.RegisteredVersion, list[int]]:
    """Make the champion before the present one champion again.

    watched: the champion that has to go; where another one has taken its place, nothing is done.
    Also returns that version, and those between that are no longer there.

    Raises:
        UserError: there is none, or the server could not load it; then nothing has changed.
    """
    with transition.holding(), transition.completed(client, model, sync):
        version, gone = before_champion(model)
        change = registry.plan(version, registry.CHAMPION, "rollback", reason=reason)
        champion = change.before.get(registry.CHAMPION)
        if watched is not None and champion != watched:
            raise UserError(
                f"{model} is not rolled back: version {champion} has become champion in place of "
                f"{watched}, which was watched"
            )
        return _carry_out(client, model, change), version, gone


def _carry_out(client: Client, model: str, change: Change) -> Deployed:
    new = change.before.get(change.alias) != change.version
    wanted = change.after if new else change.before
    with transition.journal([model]):
        deployed = serve(client, {model: wanted}, [(model, change.version)])
        if new:
            _commit(client, model, change)
    return deployed


def _commit(client: Client, model: str, change: Change) -> None:
    try:
        registry.commit(model, change)
    except UserError as error:
        with suppress(UserError):
            serve(client, {model: change.before}, [])
        raise transition.HalfDone(
            f"{error}; the next command completes what of this is written down: `celflow deploy`"
        ) from error


def sync(client: Client, model: str) -> None:
    """Serve one model as the registry says."""
    aliases = registry.aliases_of(model)
    if aliases:
        champion = aliases.get(registry.CHAMPION)
        serve(client, {model: aliases}, [] if champion is None else [(model, champion)])


def before_champion(model: str) -> tuple[registry.RegisteredVersion, list[int]]:
    """The champion that a rollback goes to, and the versions between that are no longer there.

    Raises:
        UserError: there is none.
    """
    numbers = {found.version for found in registry.listed(model)}
    if not numbers:
        registry.get(model, 1)  # says which models there are
    now = registry.aliases_of(model)
    line = changes.champions(registry.history(model), now)
    # Where the champion itself was deleted, the last of the line is where to go back to.
    earlier = line[:-1] if registry.CHAMPION in now else line
    gone: list[int] = []
    for number in reversed(earlier):
        if number == now.get(registry.CHAMPION):
            continue
        if number in numbers:
            return registry.get(model, number), gone
        gone.append(number)
    if gone:
        listed = ", ".join(map(str, gone))
        raise UserError(
            f"the champions of {model} before this one ({listed}) are deleted in MLflow: "
            "there is nothing to roll back to"
        )
    raise UserError(f"{model} had no champion before this one: there is nothing to roll back to")


def serve(
    client: Client,
    wanted: Mapping[str, Aliases],
    must: Collection[tuple[str, int]],
    everything: bool = False,
) -> Deployed:
    """Serve `wanted`, versions by model; `transition.holding` it.

    must: model and number of the versions that have to load. Where one of them fails, config and
        server stay as they were; any other that fails is left out.
    everything: whether models that `wanted` does not name are no longer served.
    """
    failed: dict[tuple[str, int], str] = {}
    model_or_all = next(iter(wanted)) if len(wanted) == 1 else None
    for version in registry.listed(model_or_all):
        model, number = version.model, version.version
        if number in wanted.get(model, {}).values():
            try:
                materialize(version)
            except UserError as error:
                if (model, number) in must:
                    raise UserError(f"nothing has changed, because {error}") from error
                failed[model, number] = str(error)
    now = serving_config.read()
    kept = None if everything else now
    whole = _without(wanted, failed)
    if not client.healthy():
        serving_config.write(serving_config.build(whole, whole, keep=kept))
        return Deployed(whole, confirmed=False, failed=list(failed.values()))
    with _restored_on_error(client, now):
        # Labels may only point at versions that are loaded, so those are loaded first.
        labelled = serving_config.labelled(now)
        before = {model: served for model, served in labelled.items() if model in whole}
        first = serving_config.build(whole, before, also=before, keep=kept)
        failed |= _load(client, first, whole, must)
        served = _without(wanted, failed)
        final = serving_config.build(served, served, keep=kept)
        serving_config.write(final)
        client.reload_config(final)
        _confirm(client, served)
    return Deployed(served, confirmed=True, failed=list(failed.values()))


def _without(
    wanted: Mapping[str, Aliases], failed: Collection[tuple[str, int]]
) -> dict[str, Aliases]:
    return {
        model: {alias: n for alias, n in versions.items() if (model, n) not in failed}
        for model, versions in wanted.items()
    }


@contextmanager
def _restored_on_error(
    client: Client, before: model_server_config_pb2.ModelServerConfig
) -> Iterator[None]:
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


def answering(client: Client, model: str, label: str) -> int:
    """The version that answers a picture under a label."""
    picture = encode_png(np.full((64, 64, 3), 127, np.uint8))
    return client.predict(model, [picture], label).version


def _confirm(client: Client, wanted: Mapping[str, Aliases]) -> None:
    """Send each label a picture, and check that the version it stands for answers."""
    for model, aliases in wanted.items():
        for alias, label in LABELS.items():
            if alias in aliases and (n := answering(client, model, label)) != aliases[alias]:
                raise ServerError(
                    f"{model}:{label} is answered by version {n}, not {aliases[alias]}", "INTERNAL"
                )
