"""Sort files: ask about many at a time, and place them as the answers come."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from sorting.sorter import BATCH, Sorter
from sorting.verdicts import Ask, LeftOut, Verdict, verdicts


def sort_files(sorter: Sorter, files: Iterable[Path], ask: Ask) -> None:
    """Bring files into the piles that `ask` names; one that can't be used is noted.

    One batch is placed while the next ones are asked about, so that the server has always work.

    Raises:
        ServerError: the server is down; what was answered before is placed.
        UserError: the piles can't be written.
    """
    batch: list[tuple[Path, Verdict | LeftOut]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="place") as hand:
        under_way: Future[None] | None = None
        try:
            for answered in verdicts(files, ask):
                batch.append(answered)
                if len(batch) == BATCH:
                    if under_way is not None:
                        under_way.result()
                    under_way = hand.submit(_place, sorter, batch)
                    batch = []
        finally:
            if under_way is not None:
                under_way.result()
            _place(sorter, batch)


def _place(sorter: Sorter, batch: list[tuple[Path, Verdict | LeftOut]]) -> None:
    for file, verdict in batch:
        if isinstance(verdict, LeftOut):
            sorter.leave_out(file, verdict.reason)
    sorter.place([(file, v) for file, v in batch if isinstance(v, Verdict)])
