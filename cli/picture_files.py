"""What commands share that send picture files to models: their arguments, and reading a file."""

from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from celflow.names import shown
from serving.labels import LABELS

VersionOption = Annotated[
    str | None,
    typer.Option(help="A number, `champion` or `challenger`.", show_default="champion"),
]
Files = Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, BMP, GIF or WebP.")]


def version_or_label(option: str | None) -> int | str:
    """What `--version` means to the model server: a number, or a version label.

    Raises:
        UserError: a number that no version can have.
    """
    if option and option.isdecimal():
        if int(option) >= 2**63:
            raise UserError(f"there is no version {option}")
        return int(option)
    return LABELS.get(option or "champion", option or "")


def read(file: Path) -> bytes:
    """A picture file's bytes in a format that the model server takes.

    Raises:
        UserError: the file can't be read, or is no picture.
    """
    from celflow.images import BadImage
    from serving.client.pictures import sendable

    try:
        return sendable(file.read_bytes())
    except OSError as error:
        raise UserError(f"{shown(file)}: {error.strerror or error}") from None
    except BadImage as error:
        raise UserError(f"{shown(file)}: {error}") from None


def takes_faces(model: str) -> bool:
    """Whether a model is asked about each face of a picture, not about the whole."""
    from celflow.params import load

    params = load()
    if model not in params.models or params.facecrop.detector == "none":
        return False
    return params.task(model) == "characters"
