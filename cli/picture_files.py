"""What commands share that send picture files to models: their arguments, and reading files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from celflow.errors import UserError
from celflow.names import shown
from serving.labels import LABELS

Taken = TypeVar("Taken")

VersionOption = Annotated[
    str | None,
    typer.Option(help="A number, `champion` or `challenger`.", show_default="champion"),
]
Files = Annotated[
    list[Path],
    typer.Argument(
        help="Pictures (JPEG, PNG, BMP, GIF, WebP, TIFF, AVIF, HEIC), or folders of them.",
    ),
]


@dataclass(frozen=True)
class Found:
    """A file to be asked about.

    inside: its path from the folder that was named, or its name.
    """

    path: Path
    inside: Path


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


def find(paths: list[Path], more: tuple[str, ...] = ()) -> list[Found]:
    """The files that are named and, of the folders that are, those that are called pictures.

    more: suffixes that count, too.

    Raises:
        UserError: there is none.
    """
    found = [one for path in paths for one in _below(path, more)]
    if not found:
        raise UserError(f"no picture in {', '.join(map(shown, paths))}")
    return found


def read(file: Path, take: Callable[[bytes], Taken]) -> Taken:
    """What `take` makes of a picture file's bytes.

    Raises:
        UserError: the file can't be read, or is no picture.
    """
    from celflow.images import BadImage

    try:
        return take(file.read_bytes())
    except OSError as error:
        raise UserError(error.strerror or str(error)) from None
    except BadImage as error:
        raise UserError(str(error)) from None


@contextmanager
def refusals_explained(data: bytes) -> Iterator[None]:
    """What the server refuses, such as a picture that is cut off, is told in plain words."""
    from serving.client import BadInput
    from serving.client.pictures import why_refused

    try:
        yield
    except BadInput as error:
        raise UserError(why_refused(data, error)) from None


def takes_faces(model: str) -> bool:
    """Whether a model is asked about each face of a picture, not about the whole."""
    from celflow.params import load

    params = load()
    if model not in params.models or params.facecrop.detector == "none":
        return False
    return params.task(model) == "characters"


def _below(path: Path, more: tuple[str, ...]) -> Iterator[Found]:
    from celflow.images import SUFFIXES
    from sorting.walk import files_in

    if not path.is_dir():
        yield Found(path, Path(path.name))
        return
    for file in files_in(path):
        if file.suffix[1:].lower() in (*SUFFIXES, *more):
            yield Found(file, file.relative_to(path))
