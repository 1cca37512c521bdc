"""`celflow models`, `promote`, `rollback`, `deploy`: what is registered and what is served."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from celflow.errors import UserError
from cli import output
from cli.options import SERVER, AsJson, Server
from serving.labels import LABELS

if TYPE_CHECKING:
    from celflow.registry import RegisteredVersion
    from promotion.deploy import Deployed

Model = Annotated[str, typer.Argument(help="A registered model, such as xception.")]
Number = Annotated[int, typer.Argument(help="The version's number, from `celflow models`.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the version.")]


class Alias(str, Enum):
    """What a version can be promoted to."""

    champion = "champion"
    challenger = "challenger"


def list_models(as_json: AsJson = False) -> None:
    """List every registered version: alias, gate metric, date, data hash and git commit."""
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
    # In a narrow terminal the last two columns shrink, the others keep their width.
    widths = {"model": max(map(len, names)), "version": 7, "alias": 10, "metric": 14, "made": 10}
    for column in (*widths, "data", "commit"):
        table.add_column(column, no_wrap=True, min_width=widths.get(column, 0))
    rows = []
    for name in names:
        for version in registry.versions(name):
            metric = getattr(gate, version.tags.get("task", ""), "")  # others may register, too
            value = version.metrics.get(metric)
            data, commit = (version.tags.get(key, "-") for key in ("data_hash", "git_commit"))
            rows.append(
                {
                    "model": name, "version": version.version, "aliases": version.aliases,
                    metric or "metric": value, "created": version.created, "data_hash": data,
                    "git_commit": commit, "gate": version.tags.get("gate", ""),
                }
            )  # fmt: skip
            table.add_row(
                name,
                str(version.version),
                ", ".join(version.aliases),
                "-" if value is None else f"{metric.split('_')[0]} {value:.3f}",
                f"{datetime.fromtimestamp(version.created):%Y-%m-%d}",
                data[:8],
                commit[:8],
            )
    if as_json:
        output.print_json(rows)
    else:
        Console().print(table)


def promote(
    model: Model,
    version: Number,
    to: Annotated[
        Alias, typer.Option(help="champion is served as stable, challenger as canary.")
    ] = Alias.champion,
    force: Annotated[bool, typer.Option(help="Promote even if the gate fails.")] = False,
    reason: Reason = "",
    server: Server = SERVER,
) -> None:
    """Make a version champion or challenger, and check that the running server answers with it.

    A champion has to pass the gate: its metric on the test set must not be below the present
    champion's by more than the tolerance in params.yaml.
    """
    from celflow import params, registry
    from promotion import gate

    candidate = registry.get(model, version)
    if reason:
        registry.set_tag(candidate, "reason", reason)
    if to is Alias.champion:
        champion = registry.with_alias(model, registry.CHAMPION)
        verdict = gate.compare(champion, candidate, params.load())
        print(f"gate: {'passed' if verdict.passed else 'failed'}: {verdict.reason}")
        if not verdict.passed and not force:
            raise UserError(
                f"{model} version {version} does not pass the gate; --force overrules it"
            )
        outcome = "passed" if verdict.passed else "forced"
        registry.set_tag(candidate, "gate", f"{outcome}: {verdict.reason}")
    _promote(candidate, to.value, server)


def rollback(model: Model, server: Server = SERVER) -> None:
    """Make the previous champion champion again; a second rollback undoes the first."""
    from celflow import registry
    from promotion import deploy

    _promote(deploy.previous_champion(model), registry.CHAMPION, server)


def deploy(server: Server = SERVER) -> None:
    """Write served/ from the registry, and wait until a running server answers with it."""
    from promotion import deploy
    from serving.client import Client

    with Client(server) as client:
        deployed = deploy.deploy(client)
    for model, aliases in sorted(deployed.aliases.items()):
        print(f"{model}: " + ", ".join(f"{a} {v}" for a, v in sorted(aliases.items())))
    _report_rest(deployed, server)


def _promote(version: "RegisteredVersion", alias: str, server: str) -> None:
    from promotion import deploy
    from serving.client import Client

    with Client(server) as client:
        print(f"{version.model}: version {version.version} to {alias} ...", flush=True)
        deployed = deploy.promote(client, version, alias)
    if deployed.confirmed:
        print(f"{server} answers {version.model}:{LABELS[alias]} with version {version.version}")
    _report_rest(deployed, server)


def _report_rest(deployed: "Deployed", server: str) -> None:
    for failure in deployed.failed:
        print(f"left out: {failure}")
    if not deployed.confirmed:
        print(f"no model server answers at {server}; the next one to start will serve this")
