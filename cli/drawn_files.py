"""The files that `celflow draw` writes: it knows its own, and overwrites no other."""

import json
import os
from collections import Counter
from pathlib import Path

from celflow.errors import UserError
from celflow.files import write_bytes
from celflow.names import shown
from cli.picture_files import Found

NOTES = ".celflow-drawn.jsonl"  # a line for each drawing; the last of a name counts


def targets(found: list[Found], out: Path) -> list[Path]:
    """The file that each drawing goes to: t.png for t.jpg, and t.jpg.png where there is a t.bmp."""
    stems = Counter(one.inside.with_suffix("") for one in found)
    named: set[Path] = set()
    chosen = []
    for one in found:
        alone = stems[one.inside.with_suffix("")] == 1
        target = out / (one.inside.with_suffix(".png") if alone else f"{one.inside}.png")
        number = 1
        while target in named:  # two files of one name
            number += 1
            target = target.with_name(f"{one.inside.stem} ({number}).png")
        named.add(target)
        chosen.append(target)
    return chosen


class DrawnFiles:
    """The drawings in a folder, by the notes that are kept there."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._notes: dict[str, dict[str, object]] = {}
        try:
            for line in (out / NOTES).read_text(encoding="utf-8").splitlines():
                try:
                    note = json.loads(line)
                    self._notes[note["drawing"]] = note
                except (ValueError, KeyError, TypeError):  # cut off by a crash
                    continue
        except OSError:
            pass

    def is_done(self, target: Path, source: Path, how: str) -> bool:
        """Whether the file is the drawing of `source` as it is now, with these options."""
        note = self._note(target)
        return note is not None and note["source"] == _state(source) and note["how"] == how

    def check_free(self, target: Path, source: Path) -> None:
        """Raise UserError where something else is in the target's place."""
        if os.path.lexists(target) and self._note(target) is None:
            raise UserError(f"{shown(target)} is there already, and no drawing of celflow's")

    def write(self, target: Path, png: bytes, source: Path, how: str) -> None:
        """Write a drawing, and note that it is one.

        Raises:
            UserError: it can't be written.
        """
        try:
            write_bytes(target, png)
            note: dict[str, object] = {
                "drawing": self._name(target), "state": _state(target), "source": _state(source),
                "how": how,
            }  # fmt: skip
            self._notes[self._name(target)] = note
            with (self.out / NOTES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")
        except OSError as error:
            raise UserError(f"{shown(target)} can't be written: {error.strerror}") from None

    def _note(self, target: Path) -> dict[str, object] | None:
        """The note about a drawing, if the file is still that drawing."""
        note = self._notes.get(self._name(target))
        return note if note is not None and note["state"] == _state(target) else None

    def _name(self, target: Path) -> str:
        return str(target.relative_to(self.out))


def _state(file: Path) -> list[object] | None:
    """What tells a file from another, or from itself after a change."""
    try:
        state = file.stat()
    except OSError:
        return None
    return [str(file.resolve()), state.st_size, state.st_mtime_ns]
