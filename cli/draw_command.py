"""`celflow draw`: picture files through an image model."""

from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from celflow.names import as_text, shown
from cli import output, picture_files
from cli.drawn_files import DrawnFiles, targets
from cli.options import SERVER, AsJson, Server


def draw(
    model: Annotated[str, typer.Argument(help="A served image model: cartoonizer or sketchify.")],
    files: picture_files.Files,
    out: Annotated[
        Path,
        typer.Option(help="Folder for the drawings; made if missing."),
    ] = Path("drawn"),
    version: picture_files.VersionOption = None,
    strength: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Cartoonizer only: from the photo, 0, to the drawing, 1."),
    ] = None,
    abstraction: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Cartoonizer only: larger and fewer regions and colours."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Draw also what is drawn already.")
    ] = False,
    keep_exif: Annotated[
        bool, typer.Option("--keep-exif", help="Write the picture's EXIF to the drawing, too.")
    ] = False,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Turn pictures into drawings with an image model; each becomes a PNG in a folder.

    What was drawn before with the same options is skipped, and no other file is overwritten. A file
    that can't be used is named at the end, and the exit code is 1.
    """
    from tqdm import tqdm

    from serving.client import Client, ModelNotFound, ServerDown, full_size

    found = picture_files.find(files)
    chosen = picture_files.version_or_label(version)
    options = {"strength": strength, "abstraction": abstraction}
    styles = {name: value for name, value in options.items() if value is not None}
    how = f"{model} {chosen} {styles}"
    drawn = DrawnFiles(out)
    answers, bad = [], []
    with Client(server) as client:
        progress = tqdm(found, "draw", disable=None if len(found) > 1 else True)
        for one, target in zip(progress, targets(found, out), strict=True):
            head = {"file": as_text(one.path), "drawing": as_text(target)}
            try:
                if not again and drawn.is_done(target, one.path, how):
                    answers.append({**head, "skipped": True})
                    continue
                drawn.check_free(target, one.path)
                photo = full_size.read(one.path)
                answer = client.draw(model, photo.sent(), chosen, **styles)
                png = answer.output("image_png", "an image model")[0]
                drawn.write(target, photo.finished(png, keep_exif), one.path, how)
            except (ServerDown, ModelNotFound):
                raise
            except UserError as error:
                answers.append({**head, "error": str(error)})
                bad.append(f"{shown(one.path)}: {error}")
                continue
            answers.append({**head, "milliseconds": round(answer.milliseconds, 1)})
            if not as_json:
                tqdm.write(f"{shown(target)} ({answer.milliseconds:.0f} ms)")
    if as_json:
        output.print_json(answers)
    else:
        if skipped := sum("skipped" in answer for answer in answers):
            print(f"{skipped} were drawn before (--again draws them again)")
        output.print_left_out(bad)
    if bad:
        raise typer.Exit(1)
