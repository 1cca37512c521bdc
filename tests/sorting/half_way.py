"""Sort without a server, in a process of its own, that a test kills: FOLDER OUT MODE."""

import sys
import time
from pathlib import Path

from sorting.journal import Plan
from sorting.run import sort_files
from sorting.sorter import Sorter
from sorting.verdicts import Verdict
from sorting.walk import files_in


def ask(file: Path) -> Verdict:
    """By the first letter."""
    time.sleep(0.002)
    return Verdict(file.name[0], 0.9, 1)


if __name__ == "__main__":
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    with Sorter(Plan(folder, out, "toy", sys.argv[3])) as sorter:  # type: ignore[arg-type]
        print("begun", flush=True)
        files = (file for file in files_in(folder, out) if not sorter.is_done(file))
        sort_files(sorter, files, ask)
        sorter.finish()
