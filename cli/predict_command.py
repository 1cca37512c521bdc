"""`celflow predict`: ask a served model about picture files."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from celflow.errors import UserError
from celflow.names import as_text, shown
from cli import output, picture_files
from cli.options import SERVER, AsJson, Server

if TYPE_CHECKING:
    from serving.client import Client, Prediction

IN_FLIGHT = 8  # pictures asked about at a time
UNKNOWN = "unknown"  # what a model answers that knows that it knows nobody


def predict(
    model: Annotated[str, typer.Argument(help="A served model, such as photo_compact.")],
    files: picture_files.Files,
    version: picture_files.VersionOption = None,
    top: Annotated[int, typer.Option(help="Names to show for each picture.", min=1)] = 3,
    whole: Annotated[
        bool, typer.Option("--whole", help="Take a picture without a face for a face itself.")
    ] = False,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Ask a classifier, or face_detector, about pictures.

    Character models are asked about each face. A file that can't be used is named at the end, and
    the exit code is 1. So it is where the server goes away: what it has answered is printed.
    """
    from tqdm import tqdm

    from serving.client import Client, ModelNotFound, ServerDown
    from serving.client.in_flight import map_in_flight
    from serving.client.pictures import sendable

    found = picture_files.find(files)
    chosen = picture_files.version_or_label(version)
    of_faces = picture_files.takes_faces(model)
    with Client(server) as client:

        def ask(one: picture_files.Found) -> list[dict[str, Any]] | UserError:
            """What --json prints about a file, or why it can't be used."""
            try:
                data = picture_files.read(one.path, sendable)
                asked: list[tuple[str, bytes | None]] = [(str(one.path), data)]
                with picture_files.refusals_explained(data):
                    if of_faces:
                        asked = _faces(client, str(one.path), data, whole)
                    return [_answer(client, model, chosen, top, *picture) for picture in asked]
            except (ServerDown, ModelNotFound):
                raise
            except UserError as error:
                return error

        answers: list[dict[str, Any]] = []
        bad, gone = [], None
        bar = tqdm(found, desc=f"predict {model}", unit="pic", leave=False, disable=None)
        try:
            for one, answer in zip(bar, map_in_flight(ask, found, IN_FLIGHT), strict=True):
                if isinstance(answer, UserError):
                    bad.append(f"{shown(one.path)}: {answer}")
                    error = {"error": str(answer)}
                    answers.append({"file": as_text(one.path), "model": model, **error})
                else:
                    answers += answer
        except ServerDown as error:
            if len(answers) == len(bad):  # it has said nothing
                raise
            gone = error
    if as_json:
        output.print_json(answers)
    elif len(found) == 1 and bad:
        raise UserError(bad[0])
    else:
        _print_table([answer for answer in answers if "error" not in answer])
        output.print_left_out(bad)
    if gone is not None:
        raise gone
    if bad:
        raise typer.Exit(1)


def _answer(
    client: "Client", model: str, version: int | str, top: int, name: str, data: bytes | None
) -> dict[str, Any]:
    """The answer about one picture or face, as --json prints it. data: None where no face is."""
    head = {"file": as_text(name), "model": model}
    if data is None:
        return {**head, "verdict": "no face found", "scores": {}}
    answer = client.predict(model, [data], version)
    time = {"version": answer.version, "milliseconds": round(answer.milliseconds, 1)}
    return {**head, **time, **_content(answer, top)}


def _content(answer: "Prediction", top: int) -> dict[str, Any]:
    """What a model says about one picture, as --json prints it."""
    if "boxes" in answer.outputs:
        found = answer.faces()[0]
        return {
            "faces": [
                dict(zip("xywh", map(round, face.box), strict=True), score=round(face.score, 4))
                for face in found
            ]
        }
    best = answer.classifications()[0]
    top += best.name == UNKNOWN  # of nobody known, as many of the nearest names
    scores = dict(zip(best.names[:top], best.scores[:top], strict=True))
    return {"verdict": best.verdict, "scores": scores}


def _print_table(answers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table(Column("file", overflow="fold"), "answer", "others", "version", "ms")
    for answer in answers:
        if "faces" in answer:
            found = answer["faces"]
            names = [f"{len(found)} face{'s' * (len(found) != 1)}"]
            names += ["{w} x {h} at {x}, {y} ({score:.0%})".format(**face) for face in found]
        else:
            names = [f"{name} {score:.1%}" for name, score in answer["scores"].items()]
            if answer["verdict"] not in answer["scores"]:  # "unsure"
                names.insert(0, answer["verdict"])
        table.add_row(
            escape(shown(answer["file"])),
            escape(names[0]),
            escape(", ".join(names[1:])),
            str(answer.get("version", "")),
            str(answer.get("milliseconds", "")),
        )
    Console().print(table)


def _faces(
    client: "Client", name: str, picture: bytes, whole: bool
) -> list[tuple[str, bytes | None]]:
    """Name and PNG of each face of a picture, cropped as in training.

    Where there is none: the `whole` picture, or None.
    """
    from celflow.faces import crop
    from celflow.images import encode_png, open_image
    from celflow.params import load
    from serving.client.faces import find_faces

    found = find_faces(client, picture, load().facecrop)
    if not found:
        return [(name, picture if whole else None)]
    pixels = open_image(picture).pixels
    return [
        (f"{name} face {number}", encode_png(crop(pixels, face)))
        for number, face in enumerate(found, 1)
    ]
