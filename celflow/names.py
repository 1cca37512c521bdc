"""Names of files as text: valid UTF-8 whatever bytes they are made of."""

import os
from pathlib import Path


def as_text(path: str | Path) -> str:
    """A file's name for JSON and tables: bytes that are no UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def shown(path: str | Path) -> str:
    """A file's name for a line of text: control characters, such as a line break, are escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in as_text(path)
    )
