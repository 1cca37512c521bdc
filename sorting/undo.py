"""Put back what a sort has placed."""

import os
from pathlib import Path

from celflow.errors import UserError
from celflow.names import shown
from sorting import transfer
from sorting.journal import Journal, Placed, Plan, journal_folder
from sorting.sorter import remove_empty, settle

_SECONDS = 2e9  # nanoseconds; file systems keep times no finer than that


def undo(out: Path) -> tuple[int, dict[str, str]]:
    """Bring every file back to where it was; copies and links go.

    Killed, it goes on when it is called again.

    out: of the piles, absolute.

    Returns the number of changes taken back, and for each place that had to stay the reason.

    Raises:
        UserError: there is nothing to undo.
    """
    if not (journal_folder(out) / "journal.jsonl").is_file():
        raise UserError(
            f"{shown(out)} has no journal of a sort beside it: there is nothing to undo"
        )
    with Journal(out) as journal:
        plan = journal.plan()
        if plan is None:
            journal.remove()
            return 0, {}
        settle(journal, plan)
        undone = journal.undone()
        changes = [change for change in journal.placed() if change.number not in undone]
        stayed = {}
        for change in reversed(changes):
            try:
                reason = _take_back(change, plan)
            except OSError as error:
                reason = error.strerror or str(error)
            if reason:
                stayed[change.target] = reason
            else:
                journal.end(change.number, "undone")
        # The part files' folders, too: a folder is as empty as what is below it.
        remove_empty(plan.out, {Path(change.target).parent for change in journal.placed()})
        if not stayed:
            journal.remove()
            if plan.out.is_dir() and not any(plan.out.iterdir()):
                plan.out.rmdir()
        return len(changes) - len(stayed), stayed


def _take_back(change: Placed, plan: Plan) -> str:
    """Undo one change; returns why that can't be done, or nothing."""
    source, target = plan.folder / change.source, plan.out / change.target
    if plan.mode == "link":
        if os.path.lexists(target):
            if not transfer.is_link_to(target, source):
                return "is no longer the link that was made"
            target.unlink()
        return ""
    if plan.mode == "copy":
        if os.path.lexists(target):
            state = target.lstat()
            same_time = abs(state.st_mtime_ns - change.changed) <= _SECONDS
            if state.st_size != change.size or not same_time:
                return "was changed since"
            target.unlink()
        return ""
    if transfer.settle(target, source, "move", change.number):
        return ""  # an earlier undo was cut off behind it
    if not os.path.lexists(target):
        return "" if os.path.lexists(source) else "is gone"
    if os.path.lexists(source):
        return f"{shown(source)} is another file by now"
    source.parent.mkdir(parents=True, exist_ok=True)
    transfer.move(target, source, change.number)
    return ""
