"""`celflow models`, `promote`, `rollback`, `deploy`: what is registered and what is served."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from celflow.errors import UserError
from cli.options import SERVER, Server
from serving.labels import LABELS

if TYPE_CHECKING:
    from celflow.registry import RegisteredVersion
    from promotion.deploy import Deployed

Model = Annotated[str, typer.Argument(help="A registered model, such as xception.")]


class Alias(str, Enum):
    """What a version can be promoted to."""

    champion = "champion"
    challenger = "challenger"


def list_models() -> None:
    """List every registered version with its alias, the figure of its gate, and its origin."""
    from datetime import datetime

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from celflow import params, registry

    names = registry.models()
    if not names:
        raise UserError("the registry has no models yet: run `dvc repro`")
    gate = params.load().registry.gate
    table = Table(box=box.SIMPLE)
    # In a narrow terminal the origin gives way, and nothing else.
    kept = {"model": max(map(len, names)), "version": 7, "alias": 10, "figure": 14, "made": 10}
    for column in (*kept, "data", "commit"):
        table.add_column(column, no_wrap=True, min_width=kept.get(column, 0))
    for name in names:
        for v in registry.versions(name):
            key = getattr(gate, v.tags.get("task", ""), "")  # others may register, too
            table.add_row(
                name,
                str(v.version),
                ", ".join(v.aliases),
                f"{key.split('_')[0]} {v.metrics[key]:.3f}" if key in v.metrics else "-",
                f"{datetime.fromtimestamp(v.created):%Y-%m-%d}",
                v.tags.get("data_hash", "-")[:8],
                v.tags.get("git_commit", "-")[:8],
            )  # fmt: skip
    Console().print(table)


def promote(
    model: Model,
    version: Annotated[int, typer.Argument(help="The version's number, from `celflow models`.")],
    to: Annotated[Alias, typer.Option(help="champion is served as stable, challenger as canary.")]
    = Alias.champion,
    force: Annotated[bool, typer.Option(help="Promote even if the gate says no.")] = False,
    server: Server = SERVER,
) -> None:  # fmt: skip
    """Make a version champion or challenger, and see the running server answer with it."""
    from celflow import params, registry
    from promotion import gate

    candidate = registry.get(model, version)
    if to is Alias.champion:
        champion = registry.with_alias(model, registry.CHAMPION)
        verdict = gate.compare(champion, candidate, params.load())
        print(f"gate: {'passed' if verdict.passed else 'failed'}: {verdict.reason}")
        if not verdict.passed and not force:
            raise UserError(
                f"{model} version {version} does not pass the gate; --force overrules it"
            )
        word = "passed" if verdict.passed else "forced"
        registry.set_tag(candidate, "gate", f"{word}: {verdict.reason}")
    _promote(candidate, to.value, server)


def rollback(model: Model, server: Server = SERVER) -> None:
    """Bring the champion before this one back; again brings this one back."""
    from celflow import registry
    from promotion import deploy

    _promote(deploy.previous_champion(model), registry.CHAMPION, server)


def deploy(server: Server = SERVER) -> None:
    """Write what the registry says for the model server, and wait until it answers so."""
    from promotion import deploy
    from serving.client import Client

    with Client(server) as client:
        done = deploy.deploy(client)
    for model, aliases in sorted(done.aliases.items()):
        print(f"{model}: " + ", ".join(f"{a} {v}" for a, v in sorted(aliases.items())))
    _say_the_rest(done, server)


def _promote(version: "RegisteredVersion", alias: str, server: str) -> None:
    from promotion import deploy
    from serving.client import Client

    with Client(server) as client:
        print(f"{version.model}: version {version.version} to {alias} ...", flush=True)
        done = deploy.promote(client, version, alias)
    label = LABELS[alias]
    if done.confirmed:
        print(f"{server} answers {version.model}:{label} with version {version.version}")
    _say_the_rest(done, server)


def _say_the_rest(done: "Deployed", server: str) -> None:
    for failure in done.failed:
        print(f"left out: {failure}")
    if not done.confirmed:
        print(f"no model server answers at {server}; the next one to start serves it so")
