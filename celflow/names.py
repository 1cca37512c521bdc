"""Names of files as text: valid UTF-8 whatever bytes they are made of."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

LONGEST = 200  # bytes of a name that others add to; file systems take 255


def as_text(path: str | Path) -> str:
    """A file's name for JSON and tables: bytes that are no UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def shown(path: str | Path) -> str:
    """A file's name for a line of text: control characters, such as a line break, are escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in as_text(path)
    )


def flat_names(files: Sequence[Path], folder: Path) -> list[str]:
    """For each file below a folder its path as one name, all of them different, in UTF-8.

    A name that is too long, or that another file has (a_b of a/b), ends in a digest of the path.
    """
    names: dict[str, None] = {}  # in order
    for file in files:
        path = as_text(file.relative_to(folder))
        name = path.replace("/", "_")
        if name in names or len(name.encode()) > LONGEST:
            stem, suffix = Path(name).stem, Path(name).suffix
            short = stem.encode()[: LONGEST - 50].decode(errors="ignore")
            digest = hashlib.sha256(path.encode()).hexdigest()[:16]
            name = f"{short}_{digest}{suffix if len(suffix) <= 10 else ''}"
        names[name] = None
    return list(names)
