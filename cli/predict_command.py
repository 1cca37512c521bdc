"""`celflow predict`: ask a served model about picture files."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import picture_files
from cli.options import SERVER, Server

if TYPE_CHECKING:
    from serving.client import Client, Prediction

UNKNOWN = "unknown"  # what a model answers that knows that it knows nobody


def predict(
    model: Annotated[str, typer.Argument(help="A served model, such as photo_compact.")],
    files: picture_files.Files,
    version: picture_files.VersionOption = None,
    top: Annotated[int, typer.Option(help="Names to show for each picture.", min=1)] = 3,
    whole: Annotated[
        bool, typer.Option("--whole", help="Take a picture without a face for a face itself.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    server: Server = SERVER,
) -> None:
    """Ask a classifier, or face_detector, about pictures.

    Character models are asked about each face.
    """
    from serving.client import Client

    pictures = [(str(file), picture_files.read(file)) for file in files]
    asked: list[tuple[str, bytes | None]] = [*pictures]
    chosen = picture_files.version_or_label(version)
    answers: list[dict[str, Any]] = []  # as --json prints them
    with Client(server) as client:
        if picture_files.takes_faces(model):
            asked = [face for name, data in pictures for face in _faces(client, name, data, whole)]
        for name, data in asked:
            if data is None:
                answers.append(
                    {"file": name, "model": model, "verdict": "no face found", "scores": {}}
                )
                continue
            answer = client.predict(model, [data], chosen)
            answers.append(
                {
                    "file": name,
                    "model": model,
                    "version": answer.version,
                    "milliseconds": round(answer.milliseconds, 1),
                    **_content(answer, top),
                }
            )
    if as_json:
        print(json.dumps(answers, indent=2, ensure_ascii=False))
    else:
        _print_table(answers)


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
    from rich.table import Table

    table = Table("file", "answer", "others", "version", "ms")
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
            escape(answer["file"]),
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
