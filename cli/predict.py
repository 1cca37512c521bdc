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
    """Ask a model about pictures; a table, or JSON."""
    from rich.console import Console
    from rich.table import Table

    from serving.client import Client

    pictures = [_read(file) for file in files]
    chosen = int(version) if version and version.isdigit() else version or "stable"
    answers: list[dict[str, Any]] = []
    with Client(server) as client:
        for file, picture in zip(files, pictures, strict=True):
            answer = client.predict(model, [picture], chosen)
            best = answer.classifications()[0]
            answers.append(
                {
                    "file": str(file),
                    "model": model,
                    "version": answer.version,
                    "milliseconds": round(answer.milliseconds, 1),
                    "scores": dict(zip(best.names[:top], best.scores[:top], strict=True)),
                }
            )
    if as_json:
        print(json.dumps(answers, indent=2, ensure_ascii=False))
        return
    table = Table("file", "answer", "others", "version", "ms")
    for one in answers:
        named = [f"{name} {score:.1%}" for name, score in one["scores"].items()]
        table.add_row(
            one["file"],
            named[0],
            ", ".join(named[1:]),
            str(one["version"]),
            str(one["milliseconds"]),
        )
    Console().print(table)


def _read(file: Path) -> bytes:
    from celflow.images import BadImage, upright_bytes

    try:
        return upright_bytes(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    except BadImage as error:
        raise UserError(f"{file}: {error}") from None
