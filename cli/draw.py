"""`celflow draw`: let a picture model draw picture files."""

from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from cli import pictures
from cli.options import SERVER, Server

Style = Annotated[float | None, typer.Option(min=0, max=1, help="Of the cartoonizer, 0 to 1.")]


def draw(
    model: Annotated[str, typer.Argument(help="A served picture model: cartoonizer or sketchify.")],
    files: pictures.Files,
    out: Annotated[Path, typer.Option(help="Folder for the drawings; made if missing.")] = Path(
        "drawn"
    ),
    version: pictures.VersionOption = None,
    sharpness: Style = None,
    abstraction: Style = None,
    server: Server = SERVER,
) -> None:
    """Draw pictures with a picture model; each becomes a PNG in a folder."""
    from tqdm import tqdm

    from celflow.files import write_bytes
    from serving.client import Client

    chosen = pictures.version_or_label(version)
    targets = _targets(files, out)
    told = {"sharpness": sharpness, "abstraction": abstraction}
    styles = {name: value for name, value in told.items() if value is not None}
    with Client(server) as client:
        for file, made in zip(tqdm(files, "draw", disable=len(files) == 1), targets, strict=True):
            answer = client.draw(model, pictures.read(file), chosen, **styles)
            try:
                write_bytes(made, answer.output("image_png", "a picture model")[0])
            except OSError as error:
                raise UserError(f"{made} can't be written: {error.strerror}") from None
            print(f"{made} ({answer.milliseconds:.0f} ms)")


def _targets(files: list[Path], out: Path) -> list[Path]:
    """Where the drawing of each file goes.

    Raises:
        UserError: one would take the place of a picture, or of another drawing.
    """
    originals = {file.resolve() for file in files}
    drawn: dict[Path, Path] = {}
    for file in files:
        target = out / f"{file.stem}.png"
        if target.resolve() in originals:
            raise UserError(f"{target} would be overwritten: name another folder with --out")
        if target in drawn:
            other = drawn[target]
            raise UserError(f"{other} and {file} would both become {target}: draw one at a time")
        drawn[target] = file
    return list(drawn)
