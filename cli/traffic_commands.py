"""`celflow replay`, `shadow`, `guard`: versions on what users really ask."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celflow.errors import UserError
from cli.options import SERVER, Server
from cli.registry_commands import Model

if TYPE_CHECKING:
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
    from promotion import replay, traffic
    from serving.client import Client

    asked = [one for one in traffic.in_log(log, model) if one.answer.version != version]
    if not asked:
        raise UserError(
            f"{log} has no picture that another version of {model} was asked: a server writes it "
            "with logging_config, or while `celflow shadow` runs"
        )
    with Client(server) as client:
        _report(replay.replay(client, model, version, asked, keep), keep / model)


def shadow(
    model: Model,
    to: Annotated[str, typer.Option("--to", help="challenger, or a version's number.")],
    share: Share = 0.1,
    requests: Requests = 0,
    keep: Keep = KEEP,
    server: Server = SERVER,
) -> None:
    """Mirror what users ask of the champion to another version; they see nothing of it."""
    from promotion import shadow
    from promotion.replay import Comparison
    from serving.client import Client
    from serving.labels import LABELS

    version = int(to) if to.isdecimal() else LABELS.get(to, to)
    comparison = Comparison()
    with Client(server) as client, shadow.request_log(client, model, share) as log:
        print(f"mirroring {share:.0%} of {model} to {to}; Ctrl-C ends it")
        try:
            shadow.mirror(client, model, version, log, comparison, _after(requests), keep)
        except KeyboardInterrupt:
            print()
        _report(comparison, keep / model)


def guard(
    model: Model, share: Share = 1.0, requests: Requests = 0, server: Server = SERVER
) -> None:
    """Watch the champion; roll back by itself when its answers break down."""
    from celflow import registry
    from promotion import deploy, shadow
    from serving.client import Client

    before, _ = deploy.before_champion(model)
    with Client(server) as client:
        with shadow.request_log(client, model, share) as log:
            print(f"watching {model}, beside version {before.version}; Ctrl-C ends it", flush=True)
            try:
                why = shadow.watch(client, model, before.version, log, _after(requests))
            except KeyboardInterrupt:
                return
        if why is None:
            print("nothing broke down")
            return
        why_not = f"celflow guard: {why}"
        deploy.promote(client, before, registry.CHAMPION, kind="rollback", reason=why_not)
        print(f"{time.strftime('%H:%M:%S')} rolled back to version {before.version}: {why}")
        raise typer.Exit(1)


def _after(requests: int) -> Callable[[int], bool]:
    """Whether so many pictures are enough."""
    return lambda asked: bool(requests) and asked >= requests


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
