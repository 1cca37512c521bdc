"""`celflow show`, `diff`, `history`, `sign`, `verify`: what a version is, where it comes from."""

from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celflow.errors import UserError
from celflow.files import write_bytes
from cli.options import AsJson
from cli.output import print_json
from cli.registry_commands import Model, Number

if TYPE_CHECKING:
    from celflow.changes import Change


def show(model: Model, version: Number, as_json: AsJson = False) -> None:
    """Show all that is known of a version: parameters, metrics, lineage, gate, changes."""
    from promotion import mlops

    described = mlops.show(model, version)
    if as_json:
        return print_json(described)
    created = datetime.fromtimestamp(described["created"])
    print(f"{model} version {version} ({', '.join(described['aliases']) or 'no alias'})")
    print(f"made {created:%Y-%m-%d %H:%M}, MLflow run {described['run_id'] or 'none'}")
    for title in ("tags", "parameters", "metrics"):
        print(f"\n{title}")
        for name, value in sorted(described[title].items()):
            print(f"  {name}: {value:.4f}" if isinstance(value, float) else f"  {name}: {value}")
    if described["changes"]:
        print("\nchanges")
    for line in described["changes"]:
        print(f"  {line}")


def diff(
    model: Model,
    old: Annotated[int, typer.Argument(help="A version's number.")],
    new: Annotated[int, typer.Argument(help="Another one's.")],
    sheet: Annotated[
        Path | None,
        typer.Option(help="A PNG to draw: the test pictures on which they disagree, asked anew."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how two versions differ: parameters, pictures, metrics, and a sheet of answers."""
    from promotion import mlops

    if sheet is not None and sheet.exists():
        raise UserError(f"{sheet} is there already: name another file")
    found = mlops.diff(model, old, new)
    words = ""
    if sheet is not None:
        png, words = mlops.diff_sheet(model, old, new)
        write_bytes(sheet, png)
    if as_json:
        return print_json({**found, "disagreement": words} if words else found)
    print("parameters" if found["parameters"] else "parameters: the same")
    for name, (before, after) in found["parameters"].items():
        print(f"  {name}: {before} -> {after}")
    counts = [
        f"{kind} {len(paths)}" if isinstance(paths, list) else paths
        for kind, paths in found["pictures"].items()
    ]
    print(f"pictures: {', '.join(counts)}")
    for kind, paths in found["pictures"].items():
        if isinstance(paths, list):
            for path in paths[:5]:
                print(f"  {kind}: {path}")
            if len(paths) > 5:
                print(f"  {kind}: ... (--json has all)")
    print("metrics")
    for name, pair in found["metrics"].items():
        print(f"  {name}: {' -> '.join(map(_metric, pair))}")
    if words:
        print(f"{words}: {sheet}")


def history(
    model: Model,
    at: Annotated[
        str | None, typer.Option(help="Which version was champion then: 2026-01-31T18:00.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who promoted which version when and why, or which was champion at a time."""
    from promotion import mlops

    if at is not None:
        when = _utc(at)
        champion = mlops.champion_at(model, when)
        text = when.isoformat(timespec="milliseconds")
        if as_json:
            return print_json({"model": model, "at": text, "champion": champion})
        print(f"{model} at {text}: " + (f"version {champion}" if champion else "not known"))
        return
    found = mlops.history(model)
    if as_json:
        return print_json([asdict(change) for change in found])
    if not found:
        print(f"{model}: no change was written down yet")
    for change in found:
        print(_line(change))


def sign(
    model: Model,
    version: Number,
    key: Annotated[Path, typer.Option(help="Your private key, a PEM file of an elliptic curve.")],
) -> None:
    """Sign a version, so that registry.public_key of params.yaml lets it be served."""
    from promotion import mlops

    mlops.sign(model, version, key)
    print(f"{model} version {version} is signed with {key}")


def verify(model: Model, version: Number, as_json: AsJson = False) -> None:
    """Train a version again in a temporary clone, and say whether the same comes out.

    Its commit, parameters and data are taken; exit code 1 unless it is the same.
    """
    from promotion import mlops

    found = mlops.verify(model, version)
    if as_json:
        print_json({"model": model, "version": version, **asdict(found)})
    else:
        print(f"{model} version {version}: {found.result}: {found.words}")
    if found.result not in ("bit-equal", "within tolerance"):
        raise typer.Exit(1)


def _line(change: "Change") -> str:
    was = change.before.get(change.alias)
    moved = f"{change.alias} {was or 'none'} -> {change.version}"
    rest: list[str] = [change.reason, change.gate and f"gate: {change.gate}"]
    rest += ["forced"] * change.forced + ["not done: `celflow deploy`"] * (not change.done)
    words = "; ".join(filter(None, rest))
    return f"{change.when[:19]}Z {change.who} {change.kind}: {moved}{words and f' ({words})'}"


def _utc(text: str) -> datetime:
    """A time that a user wrote, in UTC. Raises UserError."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"no time: '{text}' (write 2026-01-31T18:00, or with +00:00)") from None
    return when.astimezone(timezone.utc)


def _metric(values: Any) -> str:
    if values is None:
        return "none"
    value, *ends = values
    return f"{value:.4f}" + (f" ({ends[0]:.4f} to {ends[1]:.4f})" if ends else "")
