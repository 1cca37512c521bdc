"""The files of a folder that can be sorted."""

import os
from collections.abc import Iterator
from pathlib import Path

from sorting.journal import journal_folder


def files_in(folder: Path, *leave: Path) -> Iterator[Path]:
    """The regular files below a folder, in the order of their names.

    Hidden files and folders, links, and what an earlier sort made are left out.

    folder: absolute.
    leave: folders not to go into, absolute.
    """
    for here, folders, names in os.walk(folder):
        at = Path(here)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and at / name not in leave and not _is_ours(at / name)
        )
        for name in sorted(names):
            file = at / name
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds piles, or the journal of some."""
    if journal_folder(folder).is_dir():
        return True
    return folder.suffix == ".journal" and (folder / "journal.jsonl").is_file()
