"""`celflow gate`: what the gate says of a version, before it is promoted."""

from dataclasses import asdict

import typer

from cli import output
from cli.options import AsJson
from cli.registry_commands import Model, Number, print_verdict


def gate(model: Model, version: Number, as_json: AsJson = False) -> None:
    """Compare a version with the champion, as `celflow promote` does; change nothing.

    The exit code is 1 where it does not pass.
    """
    from promotion import mlops

    verdict = mlops.gate(model, version)
    if as_json:
        output.print_json({"model": model, "version": version, **asdict(verdict)})
    else:
        print_verdict(verdict)
    if not verdict.passed:
        raise typer.Exit(1)
