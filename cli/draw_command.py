"""`celflow draw`: picture files through an image model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celflow.errors import UserError
from celflow.names import as_text, shown
from cli import output, picture_files
from cli.drawn_files import DrawnFiles, targets
from cli.options import SERVER, AsJson, Server

if TYPE_CHECKING:
    from serving.client import Client, Prediction


def draw(
    model: Annotated[str, typer.Argument(help="A served image model: cartoonizer or sketchify.")],
    files: picture_files.Files,
    out: Annotated[
        Path,
        typer.Option(help="Folder for the drawings; made if missing."),
    ] = Path("drawn"),
    version: picture_files.VersionOption = None,
    sharpness: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Cartoonizer only: how closely lines follow edges."),
    ] = None,
    abstraction: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Cartoonizer only: how much detail is removed first."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Draw also what is drawn already.")
    ] = False,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Turn pictures into drawings with an image model; each becomes a PNG in a folder.

    What was drawn before with the same options is skipped, and no other file is overwritten. A file
    that can't be used is named at the end, and the exit code is 1.
    """
    from tqdm import tqdm

    from serving.client import Client, ModelNotFound, ServerDown

    found = picture_files.find(files)
    chosen = picture_files.version_or_label(version)
    options = {"sharpness": sharpness, "abstraction": abstraction}
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
                answer = _ask(client, model, one.path, chosen, styles)
                drawn.write(target, answer.output("image_png", "an image model")[0], one.path, how)
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


def _ask(
    client: "Client", model: str, file: Path, version: int | str, styles: dict[str, float]
) -> "Prediction":
    """The model's drawing of a picture file."""
    data = picture_files.read(file)
    with picture_files.refusals_explained(data):
        return client.draw(model, data, version, **styles)
