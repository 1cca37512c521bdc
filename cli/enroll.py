"""`celflow enroll`, `forget`: characters that a recogniser knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celflow.errors import UserError

if TYPE_CHECKING:
    from celflow.registry import RegisteredVersion

MODEL = "character_embedding"

Base = Annotated[
    int | None,
    typer.Option(
        "--version", help="The version to begin with; else the champion.", show_default=False
    ),
]


def enroll(
    name: Annotated[str, typer.Argument(help="The character's name, as answers should give it.")],
    folder: Annotated[Path, typer.Argument(help="Pictures of that character, a few will do.")],
    version: Base = None,
) -> None:
    """Teach the recogniser a new character from a few pictures, without training.

    Makes a new version of character_embedding that waits as challenger. To teach it several
    characters, give the new version's number with --version the next time.
    """
    from celflow import params
    from promotion import enroll

    made, left_out = enroll.enroll(name, folder, _base(version), params.load())
    for line in left_out:
        print(f"left out: {line}")
    _say(made, f"{made.tags['faces']} faces of {name}")


def forget(
    name: Annotated[str, typer.Argument(help="A character that the recogniser knows.")],
    version: Base = None,
) -> None:
    """Take a character out of the recogniser, also one that it was trained with.

    Makes a new version of character_embedding that waits as challenger.
    """
    from promotion import enroll

    _say(enroll.forget(name, _base(version)), f"without {name}")


def _base(version: int | None) -> "RegisteredVersion":
    from celflow import registry

    if version is not None:
        return registry.get(MODEL, version)
    champion = registry.with_alias(MODEL, registry.CHAMPION)
    if champion is None:
        raise UserError(f"the registry has no champion of {MODEL}: run `dvc repro`")
    return champion


def _say(version: "RegisteredVersion", what: str) -> None:
    alias = ", ".join(version.aliases) or "no alias"
    print(f"{MODEL} version {version.version}, {what} ({alias})")
    print(f"next: celflow promote {MODEL} {version.version}")
