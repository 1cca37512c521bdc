"""`celflow sort`: a folder of pictures into a folder for each verdict."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from celflow.errors import UserError
from cli import picture_files
from cli.options import SERVER, Server


def sort(
    model: Annotated[str, typer.Argument(help="A served model, such as photo_compact.")],
    folder: Annotated[Path, typer.Argument(help="Pictures, also in sub-folders.")],
    out: Annotated[
        Path, typer.Option(help="New folder, which gets a sub-folder for each verdict.")
    ] = Path("sorted"),
    version: picture_files.VersionOption = None,
    move: Annotated[bool, typer.Option("--move", help="Move files instead of copying.")] = False,
    server: Server = SERVER,
) -> None:
    """Sort pictures into folders by verdict: cartoon, photo, or unsure."""
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from serving.client import BadInput, Client

    if picture_files.takes_faces(model):
        raise UserError(
            f"{model} classifies faces, not whole pictures: sort takes cartoon-or-photo models"
        )
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already: name a new folder with --out")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"{folder} is empty")

    sent: list[Path] = []
    left_out: list[str] = []

    def contents() -> Iterator[bytes]:
        for file in tqdm(files, "sort"):
            try:
                data = picture_files.read(file)
            except UserError as error:
                left_out.append(str(error))
                continue
            sent.append(file)
            yield data

    counts: Counter[str] = Counter()
    chosen = picture_files.version_or_label(version)
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
            counts[verdict] += 1
    for line in left_out:
        print(f"left out: {line}")
    table = Table("folder", "pictures")
    for verdict, count in counts.most_common():
        table.add_row(str(out / verdict), str(count))
    Console().print(table)
