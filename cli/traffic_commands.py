"""`celflow replay`, `shadow`, `guard`: versions on what users really ask."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import SERVER, Server
from cli.registry_commands import Model

if TYPE_CHECKING:
    from celflow.registry import RegisteredVersion
    from promotion.replay import Comparison

Keep = Annotated[
    Path, typer.Option(help="Where pictures go on which the versions disagree, by model.")
]
Share = Annotated[float, typer.Option(help="Share of the requests, above 0, at most 1.")]
Requests = Annotated[int, typer.Option(min=0, help="Stop after so many pictures; 0: at Ctrl-C.")]
KEEP = Path("data/disagreements")


def replay(
    model: Model,
    log: Annotated[Path, typer.Argument(help="A request log: a file, or the prefix of several.")],
    version: Annotated[int, typer.Option(help="The version to ask; the server must have it.")],
    keep: Keep = KEEP,
    server: Server = SERVER,
) -> None:
    """Ask a version all that a request log says others were asked, and compare the answers."""
    from promotion import mlops

    _report(mlops.replay(model, log, version, keep=keep, server=server), keep / model)


def shadow(
    model: Model,
    to: Annotated[str, typer.Option("--to", help="challenger, or a version's number.")],
    share: Share = 0.1,
    requests: Requests = 0,
    keep: Keep = KEEP,
    server: Server = SERVER,
) -> None:
    """Mirror what users ask of the champion to another version; they see nothing of it."""
    from promotion import mlops

    def started() -> None:
        print(f"mirroring {share:.0%} of {model} to {to}; Ctrl-C ends it", flush=True)

    comparison = mlops.shadow(
        model, int(to) if to.isdecimal() else to, requests=requests, share=share, keep=keep,
        server=server, started=started,
    )  # fmt: skip
    _report(comparison, keep / model)


def guard(
    model: Model, share: Share = 1.0, requests: Requests = 0, server: Server = SERVER
) -> None:
    """Watch the champion; roll back by itself when its answers break down."""
    from promotion import mlops

    def started(before: "RegisteredVersion") -> None:
        print(f"watching {model}, beside version {before.version}; Ctrl-C ends it", flush=True)

    ended = mlops.guard(model, requests=requests, share=share, server=server, started=started)
    if ended is None:
        print("nothing broke down")
        return
    before, why = ended
    print(f"{time.strftime('%H:%M:%S')} rolled back to version {before.version}: {why}")
    raise typer.Exit(1)


def _report(comparison: "Comparison", folder: Path) -> None:
    differ = comparison.disagreements
    print(
        f"{comparison.asked} pictures: {comparison.agreed} answered alike, {len(differ)} not, "
        f"{comparison.failed} refused"
    )
    for one in differ[:10]:
        print(f"  {one.file}: {one.answer} -> {one.other_answer}")
    if differ:
        print(f"the pictures are in {folder}")
