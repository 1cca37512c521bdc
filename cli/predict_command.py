"""`celflow predict`: ask a served model about picture files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import picture_files
from cli.options import SERVER, Server


def predict(
    model: Annotated[str, typer.Argument(help="A served model, such as photo_compact.")],
    files: picture_files.Files,
    version: picture_files.VersionOption = None,
    top: Annotated[int, typer.Option(help="Names to show for each picture.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    server: Server = SERVER,
) -> None:
    """Ask a classifier about pictures. Character models are asked about each face."""
    from serving.client import Client

    pictures = [(str(file), picture_files.read(file)) for file in files]
    if picture_files.takes_faces(model):
        pictures = [face for name, data in pictures for face in _faces(name, data)]
    chosen = picture_files.version_or_label(version)
    answers: list[dict[str, Any]] = []  # as --json prints them
    with Client(server) as client:
        for name, data in pictures:
            answer = client.predict(model, [data], chosen)
            best = answer.classifications()[0]
            answers.append(
                {
                    "file": name,
                    "model": model,
                    "version": answer.version,
                    "milliseconds": round(answer.milliseconds, 1),
                    "verdict": best.verdict,
                    "scores": dict(zip(best.names[:top], best.scores[:top], strict=True)),
                }
            )
    if as_json:
        print(json.dumps(answers, indent=2, ensure_ascii=False))
    else:
        _print_table(answers)


def _print_table(answers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("file", "answer", "others", "version", "ms")
    for answer in answers:
        names = [f"{name} {score:.1%}" for name, score in answer["scores"].items()]
        if answer["verdict"] not in answer["scores"]:  # "unsure"
            names.insert(0, answer["verdict"])
        table.add_row(
            escape(answer["file"]),
            escape(names[0]),
            escape(", ".join(names[1:])),
            str(answer["version"]),
            str(answer["milliseconds"]),
        )
    Console().print(table)


def _faces(name: str, picture: bytes) -> list[tuple[str, bytes]]:
    """Name and PNG of each face of a picture, cropped as in training; else the whole picture."""
    from celflow.faces import crop, detect
    from celflow.images import encode_png, open_image
    from celflow.params import load

    config = load().facecrop
    pixels = open_image(picture).pixels
    cascade = Path(config.cascade) if config.cascade else None
    found = detect(pixels, cascade, config.detect_side, config.min_face)
    if not found:
        return [(f"{name} (no face found)", picture)]
    return [
        (f"{name} face {number}", encode_png(crop(pixels, face)))
        for number, face in enumerate(found, 1)
    ]
