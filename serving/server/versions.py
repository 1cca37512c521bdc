"""Which versions lie in a model's folder, and which of them its policy wants."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
TFLITE_FILE = "model.tflite"


def on_disk(base_path: Path, loaded: Collection[int] = ()) -> dict[int, Path] | None:
    """Version number to folder; None where the base path itself is missing.

    Only folders with a whole number for a name and a model file in them count: anything else
    is being copied, or is none of ours. One whose version is `loaded` needs no file: it may be
    being filled anew.
    """
    try:
        folders = sorted(base_path.iterdir())
    except OSError:
        return None
    return {
        int(folder.name): folder
        for folder in folders
        if folder.name.isascii()
        and folder.name.isdigit()
        and len(folder.name) < 19  # more digits than an int64 has
        and (int(folder.name) in loaded or _holds_a_model(folder))
    }


def _holds_a_model(folder: Path) -> bool:
    try:
        return any((folder / name).is_file() for name in (*SAVED_MODEL_FILES, TFLITE_FILE))
    except OSError:
        return False


def wanted(policy: Any, found: Collection[int]) -> set[int]:
    """The versions in `found` that a `ServableVersionPolicy` asks for; without one, the latest."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return set(found)
    if choice == "specific":
        return set(found) & set(policy.specific.versions)
    return set(sorted(found)[-(policy.latest.num_versions or 1) :])


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Name, size and time of every file: it changes when a broken folder is put right."""
    files = []
    for path in folder.rglob("*"):
        try:
            stat = path.stat()
        except OSError:
            continue
        files.append((str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns))
    return frozenset(files)
