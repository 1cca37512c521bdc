"""`celflow models`, `promote`, `rollback`, `deploy`: what is registered and what is served."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celflow.errors import UserError
from cli import output
from cli.options import SERVER, AsJson, Server
from serving.labels import LABELS

if TYPE_CHECKING:
    from promotion.deploy import Deployed
    from promotion.gate import Verdict
    from promotion.mlops import Moved

Model = Annotated[str, typer.Argument(help="A registered model, such as xception.")]
Number = Annotated[int, typer.Argument(help="The version's number, from `celflow models`.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in `celflow history`.")]


class Alias(str, Enum):
    """What a version can be promoted to."""

    champion = "champion"
    challenger = "challenger"


def models(as_json: AsJson = False) -> None:
    """List every registered version: alias, gate metric, date, data hash and git commit.

    A `*` behind the commit: it was trained from files that were not committed.
    """
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from celflow import params
    from promotion import mlops

    versions = mlops.models()
    if not versions:
        raise UserError("the registry has no models: run `dvc repro` or `celflow register`")
    gate = params.load().registry.gate
    # 80 columns hold it: only a long name is folded.
    table = Table("model", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.columns[0].overflow = "fold"
    for column in ("no.", "alias", "metric", "made", "data", "commit"):
        table.add_column(column, no_wrap=True, justify="right" if column == "no." else "left")
    rows = []
    for version in versions:
        metric = getattr(gate, version.tags["task"], "")
        value = version.metrics.get(metric)
        commit, data = version.tags.get("git_commit", "-"), version.tags.get("data_hash", "-")
        rows.append(
            {
                "model": version.model, "version": version.version, "aliases": version.aliases,
                metric or "metric": value, "created": version.created, "data_hash": data,
                "git_commit": commit, "gate": version.tags.get("gate", ""),
            }
        )  # fmt: skip
        table.add_row(
            version.model,
            str(version.version),
            "\n".join(version.aliases),
            "-" if value is None else f"{metric.split('_')[0]} {value:.3f}",
            f"{datetime.fromtimestamp(version.created):%Y-%m-%d}",
            data[:7],
            commit[:7] + "*" * commit.endswith("-dirty"),
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
    margin: Annotated[
        float | None,
        typer.Option(help="By how much it may be worse.", min=0, max=1, show_default="params.yaml"),
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Make a version champion or challenger, and check that the running server answers with it.

    A champion has to pass the gate: it is tried in a server of its own and, on the test pictures,
    must be better than the present champion, or shown to be no worse by more than the margin.
    """
    from promotion import mlops

    def judged(verdict: "Verdict") -> None:
        if not as_json:
            print_verdict(verdict)

    moved = mlops.promote(
        model, version, to.value, force=force, margin=margin, reason=reason, server=server,
        judged=judged,
    )  # fmt: skip
    _report(moved, server, as_json, reason)


def rollback(
    model: Model, reason: Reason = "", as_json: AsJson = False, server: Server = SERVER
) -> None:
    """Make the champion before the present one champion again; once more, and the one before it."""
    from promotion import mlops

    moved = mlops.rollback(model, reason=reason, server=server)
    if moved.skipped and not as_json:
        print(f"deleted in MLflow, and skipped: version {', '.join(map(str, moved.skipped))}")
    _report(moved, server, as_json, reason)


def deploy(as_json: AsJson = False, server: Server = SERVER) -> None:
    """Write served/ from the registry, and wait until a running server answers with it."""
    from promotion import mlops

    deployed = mlops.deploy(server=server)
    if as_json:
        return _print_deployed(deployed, server)
    for model, aliases in sorted(deployed.aliases.items()):
        print(f"{model}: " + ", ".join(f"{a} {v}" for a, v in sorted(aliases.items())))
    _report_rest(deployed, server)


def print_verdict(verdict: "Verdict") -> None:
    """What the gate says, in a line."""
    print(f"gate: {'passed' if verdict.passed else 'failed'}: {verdict.reason}", flush=True)


def _report(moved: "Moved", server: str, as_json: bool, reason: str) -> None:
    model, number, alias = moved.version.model, moved.version.version, moved.alias
    if as_json:
        more = {"model": model, "version": number, "alias": alias, "reason": reason}
        if moved.verdict is not None:
            more |= {"gate": moved.verdict.reason, "forced": not moved.verdict.passed}
        return _print_deployed(moved.deployed, server, **more)
    print(f"{model}: version {number} is {alias}")
    if moved.deployed.confirmed:
        print(f"{server} answers {model}:{LABELS[alias]} with version {number}")
    _report_rest(moved.deployed, server)


def _report_rest(deployed: "Deployed", server: str) -> None:
    for failure in deployed.failed:
        print(f"left out: {failure}")
    if not deployed.confirmed:
        print(f"no model server answers at {server}; the next one to start will serve this")


def _print_deployed(deployed: "Deployed", server: str, **more: Any) -> None:
    output.print_json(
        {
            **more,
            "server": server,
            "confirmed": deployed.confirmed,
            "served": deployed.aliases,
            "left_out": deployed.failed,
        }
    )
