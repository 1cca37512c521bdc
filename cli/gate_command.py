"""`celflow gate`: what the gate says of a version, before it is promoted."""

from dataclasses import asdict

import typer

from cli import output
from cli.options import AsJson
from cli.registry_commands import Model, Number


def gate(model: Model, version: Number, as_json: AsJson = False) -> None:
    """Compare a version with the champion, as `celflow promote` does; change nothing.

    The exit code is 1 where it does not pass.
    """
    from celflow import params, registry
    from promotion import gate

    candidate = registry.get(model, version)
    champion = registry.with_alias(model, registry.CHAMPION)
    verdict = gate.compare(champion, candidate, params.load())
    if as_json:
        output.print_json({"model": model, "version": version, **asdict(verdict)})
    else:
        print(f"gate: {'passed' if verdict.passed else 'failed'}: {verdict.reason}")
    if not verdict.passed:
        raise typer.Exit(1)
