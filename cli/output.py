"""What commands print, whole whatever the names of files and the encoding of the terminal."""

import io
import json
import sys
from collections.abc import Sequence
from typing import Any

SHOWN = 20  # lines of a list, the rest is counted


def never_fail_to_print() -> None:
    """What a stream's encoding lacks, such as Japanese on a Windows console, is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_json(content: Any) -> None:
    """`content` as JSON in UTF-8, whatever the terminal's encoding."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    data = text.encode("utf-8", "backslashreplace")
    sys.stdout.flush()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        sys.stdout.write(data.decode())


def print_left_out(lines: Sequence[str], more: str = "") -> None:
    """The files that could not be used and why; of many the first ones. `more`: where all are."""
    for line in lines[:SHOWN]:
        print(f"left out: {line}")
    if len(lines) > SHOWN:
        print(f"left out: {len(lines) - SHOWN} more{more}")
