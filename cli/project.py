"""The project that a command is about: commands run in any folder below it.

The file names that a user gives count from where the user is.
"""

import os
from pathlib import Path

PARAMS_FILE = "params.yaml"
VARIABLE = "CELFLOW_PROJECT"

_started_in: Path | None = None  # where the user is, if that is not the project's folder


def enter() -> None:
    """Go to the project's folder: $CELFLOW_PROJECT, or the nearest one above with a params.yaml."""
    global _started_in
    here = Path.cwd()
    named = os.environ.get(VARIABLE)
    folders = [Path(named)] if named else [here, *here.parents]
    found = next((folder for folder in folders if (folder / PARAMS_FILE).is_file()), None)
    if found is not None and found != here:
        _started_in = here
        os.chdir(found)


def path(value: str | Path) -> Path:
    """A path as the user means it, for every argument and option that takes one."""
    expanded = Path(value).expanduser()
    return expanded if _started_in is None else _started_in / expanded
