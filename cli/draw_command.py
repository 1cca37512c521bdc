"""`celflow draw`: pictures, still and moving, through an image model."""

from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from celflow.names import as_text, shown
from cli import output, picture_files
from cli.drawn_files import DrawnFiles, targets
from cli.options import SERVER, AsJson, Server

STEADY = 0.75  # flickers less than half as much as frame by frame, and is as sharp
SECONDS = 120.0  # that a drawing may take; of a video, several at a time are asked for


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
    steady: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Moving pictures only: with 0, each frame is drawn by itself."
        ),
    ] = STEADY,
    again: Annotated[
        bool, typer.Option("--again", help="Draw also what is drawn already.")
    ] = False,
    keep_exif: Annotated[
        bool,
        typer.Option(
            "--keep-exif", help="Write the picture's EXIF to the drawing, too; a video's metadata."
        ),
    ] = False,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Turn pictures into drawings with an image model, in a folder: PNG files of still ones.

    Videos, animated GIF and WebP stay what they are, with times and sound. Stopped in the midst of
    one, the same command goes on there. What was drawn before with the same options is skipped, and
    no other file is overwritten. A file that can't be used is named at the end; exit code 1.
    """
    from tqdm import tqdm

    from cli.drawing import Artist
    from cli.moving.video import SUFFIXES
    from serving.client import Client, ModelNotFound, ServerDown

    found = picture_files.find(files, SUFFIXES)
    chosen = picture_files.version_or_label(version)
    options = {"strength": strength, "abstraction": abstraction}
    styles = {name: value for name, value in options.items() if value is not None}
    drawn = DrawnFiles(out)
    answers, bad = [], []
    with Client(server, timeout=SECONDS) as client:
        artist = Artist(client, model, chosen, styles, steady, keep_exif)
        progress = tqdm(found, "draw", disable=None if len(found) > 1 else True)
        for one, target in zip(progress, targets(found, out), strict=True):
            head = {"file": as_text(one.path), "drawing": as_text(target)}
            try:
                if not again and drawn.is_done(target, one.path, artist.how(target)):
                    answers.append({**head, "skipped": True})
                    continue
                drawn.check_free(target, one.path)
                taken = artist.draw(one.path, target, drawn)
            except (ServerDown, ModelNotFound):
                raise
            except UserError as error:
                answers.append({**head, "error": str(error)})
                bad.append(f"{shown(one.path)}: {error}")
                continue
            answers.append({**head, "milliseconds": round(taken, 1)})
            if not as_json:
                tqdm.write(f"{shown(target)} ({taken:.0f} ms)")
    if as_json:
        output.print_json(answers)
    else:
        if skipped := sum("skipped" in answer for answer in answers):
            print(f"{skipped} were drawn before (--again draws them again)")
        output.print_left_out(bad)
    if bad:
        raise typer.Exit(1)
