"""Sort files: ask about many at a time, and place them as the answers come."""

from collections.abc import Iterable
from pathlib import Path

from sorting.sorter import BATCH, Sorter
from sorting.verdicts import Ask, LeftOut, Verdict, verdicts


def sort_files(sorter: Sorter, files: Iterable[Path], ask: Ask) -> None:
    """Bring files into the piles that `ask` names; one that can't be used is noted.

    Raises:
        ServerError: the server is down; what was answered before is placed.
        UserError: the piles can't be written.
    """
    batch: list[tuple[Path, Verdict]] = []
    try:
        for file, verdict in verdicts(files, ask):
            if isinstance(verdict, LeftOut):
                sorter.leave_out(file, verdict.reason)
                continue
            batch.append((file, verdict))
            if len(batch) == BATCH:
                full, batch = batch, []
                sorter.place(full)
    finally:
        sorter.place(batch)
