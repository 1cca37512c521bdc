"""`celflow predict`: ask a served model about picture files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from celflow.errors import UserError
from cli.options import SERVER, Server


def predict(
    model: Annotated[str, typer.Argument(help="A served model, such as xception.")],
    files: Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, BMP, GIF or WebP.")],
    version: Annotated[
        str | None, typer.Option(help="A number, or `stable` or `canary`; else the champion.")
    ] = None,
    top: Annotated[int, typer.Option(help="Names to show for each picture.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    server: Server = SERVER,
) -> None:
    """Ask a model about pictures; a table, or JSON. Character models are asked about each face."""
    from rich.console import Console
    from rich.table import Table

    from serving.client import Client

    pictures = [(str(file), _read(file)) for file in files]
    if _wants_faces(model):
        pictures = [cut for name, picture in pictures for cut in _faces(name, picture)]
    chosen = int(version) if version and version.isdigit() else version or "stable"
    answers: list[dict[str, Any]] = []
    with Client(server) as client:
        for name, picture in pictures:
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
        named = [f"{name} {score:.1%}" for name, score in one["scores"].items()]
        if one["verdict"] not in one["scores"]:
            named.insert(0, one["verdict"])
        table.add_row(
            one["file"],
            named[0],
            ", ".join(named[1:]),
            str(one["version"]),
            str(one["milliseconds"]),
        )
    Console().print(table)


def _wants_faces(model: str) -> bool:
    from celflow.params import load

    params = load()
    known = params.models.get(model)
    whole = params.facecrop.detector == "none"
    return known is not None and known.task == "characters" and not whole


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


def _read(file: Path) -> bytes:
    from celflow.images import BadImage, upright_bytes

    try:
        return upright_bytes(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    except BadImage as error:
        raise UserError(f"{file}: {error}") from None
