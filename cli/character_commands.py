"""`celflow enroll`, `forget`: the characters that a recogniser knows."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celflow.names import as_text, shown
from cli import output
from cli.options import AsJson

if TYPE_CHECKING:
    from celflow.registry import RegisteredVersion

BaseVersion = Annotated[
    int | None,
    typer.Option("--version", help="The version to start from.", show_default="the champion"),
]


def enroll(
    name: Annotated[str, typer.Argument(help="The character's name, as answers will show it.")],
    folder: Annotated[
        Path,
        typer.Argument(help="A few pictures of that character."),
    ],
    version: BaseVersion = None,
    as_json: AsJson = False,
) -> None:
    """Add a character to the recogniser from a few pictures, without training.

    The result is a new version of character_embedding, registered as challenger. To add several
    characters, pass the number of the new version as --version the next time.
    """
    from promotion import mlops

    made, left_out = mlops.enroll(name, folder, version)
    if not as_json:
        output.print_left_out([shown(line) for line in left_out])
    _report(made, f"{made.tags['faces']} faces of {name}", as_json, left_out)


def forget(
    name: Annotated[str, typer.Argument(help="A character that the recogniser knows.")],
    version: BaseVersion = None,
    as_json: AsJson = False,
) -> None:
    """Remove a character from the recogniser, whether enrolled or trained.

    The result is a new version of character_embedding, registered as challenger.
    """
    from promotion import mlops

    _report(mlops.forget(name, version), f"without {name}", as_json)


def _report(
    version: "RegisteredVersion", change: str, as_json: bool, left_out: Sequence[str] = ()
) -> None:
    if as_json:
        output.print_json(
            {
                "model": version.model, "version": version.version,
                "aliases": list(version.aliases), "change": change,
                "left_out": [as_text(line) for line in left_out],
            }
        )  # fmt: skip
        return
    aliases = ", ".join(version.aliases) or "no alias"
    print(f"{version.model} version {version.version}, {change} ({aliases})")
    print(f"next: celflow promote {version.model} {version.version}")
