"""`celflow predict`: ask a served model about picture files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import pictures
from cli.options import SERVER, Server


def predict(
    model: Annotated[str, typer.Argument(help="A served model, such as xception.")],
    files: pictures.Files,
    version: pictures.VersionOption = None,
    top: Annotated[int, typer.Option(help="Names to show for each picture.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    server: Server = SERVER,
) -> None:
    """Ask a model about pictures; a table, or JSON. Character models are asked about each face."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from serving.client import Client

    named = [(str(file), pictures.read(file)) for file in files]
    if pictures.wants_faces(model):
        named = [cut for name, picture in named for cut in _faces(name, picture)]
    chosen = pictures.version_or_label(version)
    answers: list[dict[str, Any]] = []
    with Client(server) as client:
        for name, picture in named:
            answer = client.predict(model, [picture], chosen)
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
        return
    table = Table("file", "answer", "others", "version", "ms")
    for one in answers:
        said = [f"{name} {score:.1%}" for name, score in one["scores"].items()]
        if one["verdict"] not in one["scores"]:
            said.insert(0, one["verdict"])
        table.add_row(
            escape(one["file"]),
            escape(said[0]),
            escape(", ".join(said[1:])),
            str(one["version"]),
            str(one["milliseconds"]),
        )
    Console().print(table)


def _faces(name: str, picture: bytes) -> list[tuple[str, bytes]]:
    """The faces of a picture, named and cut as in training; the whole picture if there are none."""
    from celflow.faces import crop, detect
    from celflow.images import encode_png, open_image
    from celflow.params import load

    knobs = load().facecrop
    pixels = open_image(picture).pixels
    cascade = Path(knobs.cascade) if knobs.cascade else None
    found = detect(pixels, cascade, knobs.detect_side, knobs.min_face)
    if not found:
        return [(f"{name} (no face found)", picture)]
    return [
        (f"{name} face {number}", encode_png(crop(pixels, face)))
        for number, face in enumerate(found, 1)
    ]
