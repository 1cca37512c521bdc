"""The files that `celflow draw` writes: it knows its own, and overwrites no other."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

from celflow.errors import UserError
from celflow.names import shown
from cli.picture_files import Found

NOTES = ".celflow-drawn.jsonl"  # a line for each drawing, before it takes its place


def targets(found: list[Found], out: Path) -> list[Path]:
    """The file that each drawing goes to: t.png for t.jpg, and t.jpg.png where there is a t.bmp."""
    from cli.moving.files import drawing_suffix

    suffixes = [drawing_suffix(one.path) for one in found]
    plain = [one.inside.with_suffix(suffix) for one, suffix in zip(found, suffixes, strict=True)]
    counts = Counter(plain)
    named: set[Path] = set()
    chosen = []
    for one, name, suffix in zip(found, plain, suffixes, strict=True):
        target = out / (name if counts[name] == 1 else f"{one.inside}{suffix}")
        number = 1
        while target in named:  # two files of one name
            number += 1
            target = target.with_name(f"{one.inside.stem} ({number}){suffix}")
        named.add(target)
        chosen.append(target)
    return chosen


class DrawnFiles:
    """The drawings in a folder, by the notes that are kept there."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._notes: dict[str, list[dict[str, object]]] = {}
        try:
            for line in (out / NOTES).read_text(encoding="utf-8").splitlines():
                try:
                    note = json.loads(line)
                    self._notes.setdefault(note["drawing"], []).append(note)
                except (ValueError, KeyError, TypeError):  # cut off by a crash
                    continue
        except OSError:
            pass

    def is_done(self, target: Path, source: Path, how: str) -> bool:
        """Whether the file is the drawing of `source` as it is now, with these options."""
        note = self._note(target)
        return note is not None and note["source"] == state_of(source) and note["how"] == how

    def check_free(self, target: Path, source: Path) -> None:
        """Raise UserError where something else is in the target's place."""
        if os.path.lexists(target) and self._note(target) is None:
            raise UserError(f"{shown(target)} is there already, and no drawing of celflow's")

    def write(self, target: Path, png: bytes, source: Path, how: str) -> None:
        """Write a drawing, and note that it is one.

        Raises:
            UserError: it can't be written.
        """
        # The same name each time: what a killed one left is overwritten by the next.
        name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
        beside = target.with_name(f".{name}.new")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(png)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise UserError(f"{shown(target)} can't be written: {error.strerror}") from None
        self.adopt(target, beside, source, how)

    def adopt(self, target: Path, made: Path, source: Path, how: str) -> None:
        """Give a finished drawing on the same disk its place. Raises UserError as `write`."""
        note: dict[str, object] = {
            "drawing": self._name(target),
            "state": state_of(made, target),
            "source": state_of(source),
            "how": how,
        }
        try:
            with (self.out / NOTES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")
            made.replace(target)
        except OSError as error:
            raise UserError(f"{shown(target)} can't be written: {error.strerror}") from None
        self._notes.setdefault(self._name(target), []).append(note)

    def _note(self, target: Path) -> dict[str, object] | None:
        """The note about a drawing, if the file is still that drawing."""
        state = state_of(target)
        notes = self._notes.get(self._name(target), [])
        return next((note for note in reversed(notes) if state and note["state"] == state), None)

    def _name(self, target: Path) -> str:
        return str(target.relative_to(self.out))


def state_of(file: Path, place: Path | None = None) -> list[object] | None:
    """What tells a file from another, or from itself after a change; `place`: where it will be."""
    try:
        state = file.stat()
    except OSError:
        return None
    return [str((place or file).resolve()), state.st_size, state.st_mtime_ns]
