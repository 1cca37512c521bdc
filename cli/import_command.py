"""`celflow import`: a model from outside."""

from pathlib import Path
from typing import Annotated

import typer


def import_model(
    folder: Annotated[Path, typer.Argument(help="A SavedModel: the folder of saved_model.pb.")],
    name: Annotated[str, typer.Argument(help="The model's name in the registry.")],
    task: Annotated[str, typer.Option(help="What it does, as in params.yaml.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Take it although it could do more than answer.")
    ] = False,
) -> None:
    """Register a SavedModel that was made elsewhere, once its graph was looked over."""
    from promotion import import_model as importing

    version, new = importing.import_model(folder, name, task, trust)
    words = ", ".join(version.aliases) or "no alias"
    print(f"{name}: version {version.version} ({'new' if new else 'known'}; {words})")
