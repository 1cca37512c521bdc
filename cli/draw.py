"""`celflow draw`: let a picture model draw picture files."""

from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from cli.options import SERVER, Server

Style = Annotated[float | None, typer.Option(min=0, max=1, help="Of the cartoonizer, 0 to 1.")]


def draw(
    model: Annotated[str, typer.Argument(help="A served picture model: cartoonizer or sketchify.")],
    files: Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, BMP, GIF or WebP.")],
    out: Annotated[Path, typer.Option(help="Folder for the drawings; made if missing.")] = Path(
        "drawn"
    ),
    version: Annotated[
        str | None, typer.Option(help="A number, or `stable` or `canary`; else the champion.")
    ] = None,
    sharpness: Style = None,
    abstraction: Style = None,
    server: Server = SERVER,
) -> None:
    """Draw pictures with a picture model; each becomes a PNG in a folder."""
    from tqdm import tqdm

    from celflow.files import write_bytes
    from celflow.images import BadImage, upright_bytes
    from serving.client import Client

    chosen = int(version) if version and version.isdigit() else version or "stable"
    told = {"sharpness": sharpness, "abstraction": abstraction}
    styles = {name: value for name, value in told.items() if value is not None}
    with Client(server) as client:
        for file in tqdm(files, "draw", disable=len(files) == 1):
            try:
                picture = upright_bytes(file.read_bytes())
            except (OSError, BadImage) as error:
                raise UserError(f"{file}: {error}") from None
            answer = client.draw(model, picture, chosen, **styles)
            made = out / f"{file.stem}.png"
            write_bytes(made, answer.output("image_png", "a picture model")[0])
            print(f"{made} ({answer.milliseconds:.0f} ms)")
