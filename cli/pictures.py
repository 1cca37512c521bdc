"""What the commands share that send picture files to models."""

from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from serving.labels import LABELS

VersionOption = Annotated[
    str | None,
    typer.Option(help="A number, `champion` or `challenger`; else the champion."),
]
Files = Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, BMP, GIF or WebP.")]


def version_or_label(told: str | None) -> int | str:
    """What `--version` says, as the model server has it.

    Raises:
        UserError: a number that no version can have.
    """
    if told and told.isdecimal():
        if int(told) >= 2**63:
            raise UserError(f"there is no version {told}")
        return int(told)
    return LABELS.get(told or "champion", told or "")


def read(file: Path) -> bytes:
    """A picture file as the model server takes it.

    Raises:
        UserError: it can't be read, or is no picture.
    """
    from celflow.images import BadImage, upright_bytes

    try:
        return upright_bytes(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    except BadImage as error:
        raise UserError(f"{file}: {error}") from None


def wants_faces(model: str) -> bool:
    """Whether a model is asked about the faces of a picture."""
    from celflow.params import load

    params = load()
    known = params.models.get(model)
    whole = params.facecrop.detector == "none"
    return known is not None and known.task == "characters" and not whole
