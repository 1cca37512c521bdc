"""What was sorted, as CSV and JSON beside the piles."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from celflow.errors import UserError
from celflow.names import as_text, shown
from sorting.journal import Journal, Plan

COLUMNS = ("file", "pile", "place", "score", "version", "reason")


def write(journal: Journal, plan: Plan, piles: Mapping[str, int]) -> None:
    """Write report.csv, a line a file, and report.json.

    Raises:
        UserError: they can't be written.
    """
    beside = journal.folder / "report.csv", journal.folder / "report.json"
    try:
        with _new(beside[0]).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(_rows(journal))
        with _new(beside[1]).open("w", encoding="utf-8") as file:
            head = {
                "folder": as_text(plan.folder), "out": as_text(plan.out), "model": plan.model,
                "mode": plan.mode, "piles": dict(piles),
            }  # fmt: skip
            file.write(json.dumps(head, ensure_ascii=False, indent=2)[:-2] + ',\n  "files": [')
            for number, row in enumerate(_rows(journal)):  # of any number
                file.write(",\n    " if number else "\n    ")
                file.write(json.dumps(row, ensure_ascii=False))
            file.write("\n  ]\n}\n")
        for path in beside:
            _new(path).replace(path)
    except OSError as error:
        raise UserError(f"{shown(journal.folder)} can't be written: {error.strerror}") from None


def _rows(journal: Journal) -> Iterator[dict[str, Any]]:
    undone = journal.undone()
    for change in journal.placed():
        if change.number not in undone:
            score = "" if change.score is None else round(change.score, 4)
            yield {
                "file": as_text(change.source), "pile": change.pile,
                "place": as_text(change.target), "score": score, "version": change.version,
                "reason": "",
            }  # fmt: skip
    for source, reason in journal.left_out().items():
        yield {
            "file": as_text(source), "pile": "", "place": "", "score": "", "version": "",
            "reason": reason,
        }  # fmt: skip


def _new(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")
