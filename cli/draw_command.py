"""`celflow draw`: picture files through an image model."""

from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from cli import picture_files
from cli.options import SERVER, Server


def draw(
    model: Annotated[str, typer.Argument(help="A served image model: cartoonizer or sketchify.")],
    files: picture_files.Files,
    out: Annotated[Path, typer.Option(help="Folder for the drawings; made if missing.")] = Path(
        "drawn"
    ),
    version: picture_files.VersionOption = None,
    strength: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Cartoonizer only: from the photo, 0, to the drawing, 1."),
    ] = None,
    abstraction: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Cartoonizer only: larger and fewer regions and colours."),
    ] = None,
    keep_exif: Annotated[
        bool, typer.Option("--keep-exif", help="Write the picture's EXIF to the drawing, too.")
    ] = False,
    server: Server = SERVER,
) -> None:
    """Turn pictures into drawings with an image model; each a PNG of its size in a folder."""
    from tqdm import tqdm

    from celflow.files import write_bytes
    from cli import drawn_files
    from serving.client import Client

    chosen = picture_files.version_or_label(version)
    targets = _targets(files, out)
    options = {"strength": strength, "abstraction": abstraction}
    styles = {name: value for name, value in options.items() if value is not None}
    with Client(server) as client:
        progress = tqdm(files, "draw", disable=len(files) == 1)
        for file, target in zip(progress, targets, strict=True):
            photo = drawn_files.read(file)
            answer = client.draw(model, photo.sent(), chosen, **styles)
            drawn = photo.finished(answer.output("image_png", "an image model")[0], keep_exif)
            try:
                write_bytes(target, drawn)
            except OSError as error:
                raise UserError(f"{target} can't be written: {error.strerror}") from None
            print(f"{target} ({answer.milliseconds:.0f} ms)")


def _targets(files: list[Path], out: Path) -> list[Path]:
    """The file that each drawing goes to.

    Raises:
        UserError: a drawing would overwrite a picture, or another drawing.
    """
    originals = {file.resolve() for file in files}
    source_of: dict[Path, Path] = {}
    for file in files:
        target = out / f"{file.stem}.png"
        if target.resolve() in originals:
            raise UserError(f"{target} would be overwritten: name another folder with --out")
        if target in source_of:
            other = source_of[target]
            raise UserError(f"{other} and {file} would both become {target}: draw one at a time")
        source_of[target] = file
    return list(source_of)
