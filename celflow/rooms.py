"""Where the other rooms of the house lie: beside celflow/ in a checkout, below it where installed.

An installed wheel has one top-level package, so that no name of ours is in anybody's way: `serving`
lies in celflow/_rooms/serving. A process of our own finds it by `enter`, a child by `environment`.
"""

import os
import sys
from pathlib import Path

_INSTALLED = Path(__file__).parent / "_rooms"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1]


def enter() -> None:
    """Let this process and its children import the rooms by their names."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    os.environ.update(environment())


def environment() -> dict[str, str]:
    """The environment of a child that imports the rooms by their names."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(FOLDER), *(path for path in known if path and path != str(FOLDER))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
