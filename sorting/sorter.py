"""Bring files into piles, each change by the journal."""

import errno
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from celflow.errors import UserError
from celflow.names import shown
from sorting import report, transfer
from sorting.journal import Journal, Placed, Plan
from sorting.verdicts import Verdict

BATCH = 32  # changes for which the journal is brought to the disk at once
_THREADS = 8  # that copy; each waits for the disk most of the time
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENAMETOOLONG)


@dataclass(frozen=True)
class Summary:
    """What lies where at the end.

    piles: name to number of files, of all runs.
    left_out: files that stayed where they were, from the folder, and why.
    """

    piles: dict[str, int]
    left_out: dict[str, str]


class Sorter:
    """A sort under way; what an earlier one left half done is settled first.

    Attributes:
        gone_on: files that earlier runs placed.

    Raises:
        UserError: `plan` is not what the journal is about, or another process sorts there.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._journal = Journal(plan.out)
        try:
            known = self._journal.plan()
            if known is None:
                self._journal.begin(plan)
            elif known != plan:
                raise UserError(_other(known, plan))
            settle(self._journal, plan)
            self._done = {
                _key(change.source, change.size, change.changed)
                for change in self._journal.placed()
            }
            self._number = self._journal.last_number()
        except BaseException:
            self._journal.__exit__(None, None, None)
            raise
        self.gone_on = len(self._done)

    def __enter__(self) -> "Sorter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._journal.__exit__(kind, error, at)

    def is_done(self, file: Path) -> bool:
        """Whether the file, as it is now, was placed before."""
        try:
            state = file.stat()
        except OSError:
            return False
        return _key(self._relative(file), state.st_size, state.st_mtime_ns) in self._done

    def place(self, batch: Sequence[tuple[Path, Verdict]]) -> None:
        """Bring files into their piles.

        Raises:
            UserError: the piles can't be written; all files are whole, and the next run goes on.
        """
        changes = []
        taken: set[str] = set()
        for file, verdict in batch:
            change = self._change(file, verdict, taken)
            if change is not None:
                changes.append(change)
        self._journal.intend(changes)
        with ThreadPoolExecutor(_THREADS) as threads:
            faults = list(threads.map(self._try, changes))
        fatal = None
        for change, fault in zip(changes, faults, strict=True):
            self._journal.end(change.number, "dropped" if fault else "placed")
            if fault is None:
                self._done.add(_key(change.source, change.size, change.changed))
            elif isinstance(fault, FileExistsError):  # made just now by somebody else
                verdict = Verdict(change.pile, change.score, change.version)
                self.place([(self.plan.folder / change.source, verdict)])
            elif self._is_of_piles(fault, change):
                fatal = fault
            else:
                self.leave_out(self.plan.folder / change.source, fault.strerror or str(fault))
        if fatal is not None:
            raise UserError(
                f"{shown(self.plan.out)} can't be written: {fatal.strerror}; every file is whole: "
                "put that right and run the same again, it goes on; or take it back with --undo"
            )

    def leave_out(self, file: Path, reason: str) -> None:
        """Note a file that stays where it is."""
        self._journal.leave_out(self._relative(file), reason)

    def finish(self, tidy: bool = True) -> Summary:
        """Write the reports. tidy: remove folders that moving has emptied."""
        if tidy and self.plan.mode == "move":
            parents = {Path(change.source).parent for change in self._journal.placed()}
            remove_empty(self.plan.folder, parents)
        left_out = self._journal.left_out()
        undone = self._journal.undone()
        piles: Counter[str] = Counter()
        for change in self._journal.placed():
            piles[change.pile] += change.number not in undone
        summary = Summary(dict(piles.most_common()), left_out)
        report.write(self._journal, self.plan, summary.piles)
        return summary

    def _relative(self, file: Path) -> str:
        return str(file.relative_to(self.plan.folder))

    def _change(self, file: Path, verdict: Verdict, taken: set[str]) -> Placed | None:
        """The change for a file, to a place that is free; None where the file is gone."""
        try:
            state = file.stat()
        except OSError as error:
            self.leave_out(file, error.strerror or str(error))
            return None
        self._number += 1
        source = self._relative(file)
        target = self._free(Path(folder_name(verdict.pile)) / source, taken)
        return Placed(
            self._number, source, target, verdict.pile, verdict.score, verdict.version,
            state.st_size, state.st_mtime_ns,
        )  # fmt: skip

    def _free(self, target: Path, taken: set[str]) -> str:
        """The path, or the same with a number where that is taken."""
        candidate, number = target, 1
        while str(candidate) in taken or os.path.lexists(self.plan.out / candidate):
            number += 1
            candidate = target.with_name(f"{target.stem} ({number}){target.suffix}")
        taken.add(str(candidate))
        return str(candidate)

    def _try(self, change: Placed) -> OSError | None:
        source, target = self.plan.folder / change.source, self.plan.out / change.target
        try:
            transfer.place(source, target, self.plan.mode, change.number)
        except OSError as error:
            return error
        return None

    def _is_of_piles(self, fault: OSError, change: Placed) -> bool:
        """Whether it is the piles that can't be written, not this one file that can't be had."""
        if fault.errno in _DISK or isinstance(fault, NotADirectoryError):
            return True
        folder = (self.plan.out / change.target).parent
        while not folder.exists():
            folder = folder.parent
        return not os.access(folder, os.W_OK)


def settle(journal: Journal, plan: Plan) -> None:
    """Bring to their end the changes that were cut off."""
    for change in journal.open_changes():
        source, target = plan.folder / change.source, plan.out / change.target
        made = transfer.settle(source, target, plan.mode, change.number)
        journal.end(change.number, "placed" if made else "dropped")


def folder_name(pile: str) -> str:
    """A pile's name as that of a folder."""
    name = pile.replace("/", "_").replace("\0", "_")
    return "_" if name in ("", ".", "..") else name


def remove_empty(root: Path, folders: set[Path]) -> None:
    """Remove folders below `root`, and those around them, as far as they are empty."""
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        for inner in (folder, *folder.parents):
            if inner == Path():
                break
            try:
                (root / inner).rmdir()
            except OSError:
                break


def _key(source: str, size: int, changed: int) -> int:
    return hash((source, size, changed))


def _other(known: Plan, plan: Plan) -> str:
    """Why a journal is not gone on with."""
    if replace(known, mode=plan.mode) == plan:
        difference = f"--{known.mode}, not --{plan.mode}"
    elif replace(known, model=plan.model) == plan:
        difference = f"by {known.model}, not {plan.model}"
    else:
        difference = f"of {shown(known.folder)}, not {shown(plan.folder)}"
    return (
        f"{shown(plan.out)} has the piles of an earlier sort {difference}: run that again, take it "
        "back with --undo, or name another folder with --to"
    )
