"""`celflow status`, `register`: do registry, files and server agree; filling a registry."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cli.options import SERVER, AsJson, Server
from cli.output import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping


def status(as_json: AsJson = False, server: Server = SERVER) -> None:
    """Show registry and server side by side, and the command that mends a difference."""
    from rich.console import Console
    from rich.table import Table

    from promotion import mlops

    lines = mlops.status(server=server)
    if as_json:
        return print_json([asdict(line) for line in lines])
    table = Table(
        "model", "registry", "served/", "server", box=None, padding=(0, 2, 0, 0), pad_edge=False
    )
    for line in lines:
        mark = "[red]" if line.mend else ""
        answers = "-" if line.answering is None else _versions(line.answering)
        table.add_row(
            mark + line.model, _versions(line.registered), _versions(line.configured), answers
        )
    console = Console()
    console.print(table)
    if all(line.answering is None for line in lines):
        print(f"no model server answers at {server}")
    for line in lines:
        if line.mend:
            console.print(f"{line.model}: {line.why}: `{line.mend}`", highlight=False)
    if not any(line.mend for line in lines):
        print("no difference")


def register(as_json: AsJson = False) -> None:
    """Register what exports/ holds, figures included: for a clone, or another MLflow."""
    import contextlib
    import sys

    from celflow import params
    from promotion import register_exports

    # What the stage prints is no JSON.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        made = register_exports.register_exports(params.load())
    if as_json:
        print_json([{"model": v.model, "version": v.version, "aliases": v.aliases} for v in made])


def _versions(aliases: "Mapping[str, int]") -> str:
    return ", ".join(f"{alias} {version}" for alias, version in sorted(aliases.items())) or "none"
