"""`celflow sort`: a folder of pictures into a folder for each answer."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from cli import pictures
from cli.options import SERVER, Server


def sort(
    model: Annotated[str, typer.Argument(help="A served model, such as photo_inception.")],
    folder: Annotated[Path, typer.Argument(help="Pictures, also in sub-folders.")],
    out: Annotated[Path, typer.Option(help="New folder for the piles.")] = Path("sorted"),
    version: pictures.VersionOption = None,
    move: Annotated[bool, typer.Option("--move", help="Move files instead of copying.")] = False,
    server: Server = SERVER,
) -> None:
    """Sort pictures into piles: cartoon, photo, and unsure where the model can't tell."""
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from serving.client import BadInput, Client

    if pictures.wants_faces(model):
        raise UserError(f"{model} tells faces, not pictures: sort takes cartoon-or-photo models")
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already: name a new folder with --out")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"{folder} is empty")

    sent: list[Path] = []
    left_out: list[str] = []

    def contents() -> Iterator[bytes]:
        for file in tqdm(files, "sort"):
            try:
                data = pictures.read(file)
            except UserError as error:
                left_out.append(str(error))
                continue
            sent.append(file)
            yield data

    piles: Counter[str] = Counter()
    chosen = pictures.version_or_label(version)
    with Client(server) as client:
        for number, answer in enumerate(client.predict_many(model, contents(), chosen)):
            file = sent[number]
            if isinstance(answer, BadInput):
                left_out.append(f"{file}: {answer}")
                continue
            verdict = answer.classifications()[0].verdict
            target = out / verdict / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.move if move else shutil.copy2)(file, target)
            piles[verdict] += 1
    for line in left_out:
        print(f"left out: {line}")
    table = Table("pile", "pictures")
    for verdict, count in piles.most_common():
        table.add_row(str(out / verdict), str(count))
    Console().print(table)
