"""The journal of a sort: a JSON line before each change and one after it.

It lies beside the piles, in `<piles>.journal/journal.jsonl`. What stands in it as begun and not as
ended is settled by a look at the files (transfer.py): nothing is lost, whenever a sort is killed.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from celflow.errors import UserError
from celflow.names import shown

Mode = Literal["copy", "move", "link"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Plan:
    """What a journal is about; a second run with the same plan goes on.

    folder: of the pictures, absolute.
    out: of the piles, absolute.
    """

    folder: Path
    out: Path
    model: str
    mode: Mode


@dataclass(frozen=True)
class Placed:
    """A file and its place.

    number: of the change, in the journal.
    source: from `Plan.folder`.
    target: from `Plan.out`.
    size: bytes, when it was asked about.
    changed: its time of last change then, nanoseconds.
    score: of the pile, 0 to 1; None where a person chose it.
    """

    number: int
    source: str
    target: str
    pile: str
    score: float | None
    version: int
    size: int
    changed: int


def journal_folder(out: Path) -> Path:
    """The folder of a journal, beside its piles."""
    return out.with_name(f"{out.name}.journal")


class Journal:
    """An open journal, which no other process can open.

    Raises:
        UserError: another process sorts there, the file is no journal, or can't be written.
    """

    def __init__(self, out: Path) -> None:
        self.folder = journal_folder(out)
        self.path = self.folder / "journal.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        except OSError as error:
            raise UserError(f"{shown(self.folder)} can't be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UserError(f"another celflow sorts into {shown(out)}: wait for its end") from None
        self._cut_torn_line()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()

    def begin(self, plan: Plan) -> None:
        """Write what the sort is about."""
        self._write([{"event": "begin", **asdict(plan), "folder": str(plan.folder),
                      "out": str(plan.out)}], safe=True)  # fmt: skip

    def plan(self) -> Plan | None:
        """What it is about; None for an empty journal."""
        first = next(self._lines(), None)
        if first is None:
            return None
        try:
            return Plan(Path(first["folder"]), Path(first["out"]), first["model"], first["mode"])
        except KeyError:
            raise UserError(f"{shown(self.path)} is no journal of celflow's") from None

    def intend(self, changes: list[Placed]) -> None:
        """Say what is about to be done; on the disk when this returns."""
        self._write([{"event": "place", **asdict(change)} for change in changes], safe=True)

    def end(self, number: int, event: Literal["placed", "dropped", "undone"]) -> None:
        """Say how a change ended."""
        self._write([{"event": event, "number": number}])

    def leave_out(self, source: str, reason: str) -> None:
        """Note a file that stays where it is."""
        self._write([{"event": "left_out", "source": source, "reason": reason}])

    def open_changes(self) -> list[Placed]:
        """Changes that were begun, and of which nothing says how they ended."""
        begun: dict[int, Placed] = {}
        for line in self._lines():
            if line["event"] == "place":
                begun[line["number"]] = _placed(line)
            elif "number" in line:
                begun.pop(line["number"], None)
        return list(begun.values())

    def placed(self) -> Iterator[Placed]:
        """Changes that were made, in their order, also those that were undone since."""
        begun: dict[int, Placed] = {}
        for line in self._lines():
            if line["event"] == "place":
                begun[line["number"]] = _placed(line)
            elif line["event"] in ("placed", "dropped"):
                change = begun.pop(line["number"], None)
                if change is not None and line["event"] == "placed":
                    yield change

    def undone(self) -> set[int]:
        """Numbers of the changes that were undone."""
        return {line["number"] for line in self._lines() if line["event"] == "undone"}

    def left_out(self) -> dict[str, str]:
        """Files that stayed where they were, and why; the last word counts."""
        found: dict[str, str] = {}
        for line in self._lines():
            if line["event"] == "left_out":
                found[line["source"]] = line["reason"]
            elif line["event"] == "place":
                found.pop(line["source"], None)
        return found

    def last_number(self) -> int:
        """Of the changes."""
        return max((line.get("number", 0) for line in self._lines()), default=0)

    def remove(self) -> None:
        """Delete the journal, and the reports beside it."""
        for name in ("report.csv", "report.json", "journal.jsonl"):
            (self.folder / name).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _write(self, lines: list[dict[str, Any]], safe: bool = False) -> None:
        """Append lines. safe: on the disk when this returns."""
        try:
            self._file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
            self._file.flush()
            if safe:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise UserError(
                f"{shown(self.path)} can't be written: {error.strerror}; what is sorted is noted: "
                "make room, and run the same again"
            ) from None

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    raise UserError(f"{shown(self.path)} is damaged: {line[:60]!r}") from None

    def _cut_torn_line(self) -> None:
        """Cut off a last line that was not written to its end: nothing was done for it yet."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            whole = 0
            for line in file:
                if line.endswith(b"\n"):
                    whole += len(line)
        if whole < size:
            os.truncate(self.path, whole)


def _placed(line: dict[str, Any]) -> Placed:
    return Placed(**{key: line[key] for key in Placed.__dataclass_fields__})
