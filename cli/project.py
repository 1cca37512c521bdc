"""Commands work in every folder of a project, as those of git and DVC do."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any


def find(start: Path) -> Path | None:
    """The nearest folder from `start` upwards that holds params.yaml."""
    from celflow.params import PARAMS_FILE

    return next((p for p in (start, *start.parents) if (p / PARAMS_FILE).is_file()), None)


def in_project(command: Callable[..., None]) -> Callable[..., None]:
    """Run a command in the folder of its project; paths that the user gave stay where they were."""

    @wraps(command)
    def run(**options: Any) -> None:
        here = Path.cwd()
        project = find(here)
        if project is not None and project != here:
            options = {name: _from(here, value) for name, value in options.items()}
            os.chdir(project)
        command(**options)

    return run


def _from(here: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_from(here, one) for one in value]
    return here / value if isinstance(value, Path) else value
