"""A copy here of a folder in an object store: `s3://`, `gs://` and what else fsspec knows.

Each store has a package of its own (s3fs, gcsfs), and its own place for addresses and keys.
"""

import json
import sys
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.utils import tokenize
from tqdm import tqdm

from celflow.errors import UserError
from celflow.files import write_bytes
from celflow.names import shown

BATCH = 64  # files that are fetched at once, where the store can do that
LONGEST_NAME = 255  # bytes, of a file or folder


def mirror(address: str, folder: Path) -> None:
    """Make `folder` a copy of the remote folder `address`; what has not changed is not fetched.

    `FOLDER.jsonl` remembers what each file was copied from. What was fetched when it is killed need
    not be fetched again.

    Raises:
        UserError: the store's package is not installed, it does not answer, or nothing is there.
    """
    try:
        files, root = fsspec.core.url_to_fs(address)
        files.invalidate_cache()
        found = files.find(root, detail=True)
    except (ImportError, ValueError) as error:
        raise UserError(f"{address}: {error}") from error
    except Exception as error:  # each store has errors of its own
        raise UserError(f"{address} can't be read: {type(error).__name__}: {error}") from error
    there = _usable({path[len(root.rstrip("/")) + 1 :]: info for path, info in found.items()})
    if not there:
        raise UserError(f"{address} has no files: name a folder with one sub-folder a class")
    journal = folder.with_name(f"{folder.name}.jsonl")
    known = _read(journal)
    new = [
        name
        for name, info in there.items()
        if known.get(name) != tokenize(info) or not (folder / name).is_file()
    ]
    _remove_others(folder, set(there))
    journal.parent.mkdir(parents=True, exist_ok=True)
    left = iter(new)
    with (
        journal.open("a", encoding="utf-8") as log,
        tqdm(total=len(new), desc=f"fetch {address}", unit="pic", disable=None) as bar,
    ):
        while batch := list(islice(left, BATCH)):
            _fetch(files, [str(there[name]["name"]) for name in batch], [folder / n for n in batch])
            log.writelines(_line(name, tokenize(there[name])) for name in batch)
            log.flush()
            bar.update(len(batch))
    lines = (_line(name, tokenize(info)) for name, info in sorted(there.items()))
    write_bytes(journal, "".join(lines).encode())


def _usable(found: dict[str, Any]) -> dict[str, Any]:
    """What can be a file here; a line on stderr for each key that can't, or would lie elsewhere."""
    usable = {}
    for name, info in found.items():
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            print(f"left out: {shown(name)} is no file name", file=sys.stderr)
        elif any(len(part.encode(errors="replace")) > LONGEST_NAME for part in parts):
            print(f"left out: {shown(name)} is too long a name", file=sys.stderr)
        elif any(str(parent) in found for parent in PurePosixPath(name).parents):
            print(f"left out: {shown(name)} lies in a file", file=sys.stderr)
        else:
            usable[name] = info
    return usable


def _read(journal: Path) -> dict[str, str]:
    """What each file was copied from; a line that was not written to its end counts as none."""
    known = {}
    if journal.is_file():
        for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                name, copied = json.loads(line)
            except ValueError:
                continue
            known[name] = copied
    return known


def _line(name: str, copied: str) -> str:
    return json.dumps([name, copied]) + "\n"


def _fetch(files: Any, remote: list[str], local: list[Path]) -> None:
    """Fetch files, each whole or not at all."""
    beside = [path.with_name(f".{number}.fetched") for number, path in enumerate(local)]
    for path in local:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        files.get(remote, [str(path) for path in beside])
        for path, target in zip(beside, local, strict=True):
            path.replace(target)
    except Exception as error:
        raise UserError(f"{remote[0]} and others: {type(error).__name__}: {error}") from error
    finally:
        for path in beside:
            path.unlink(missing_ok=True)


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove files that are not there any more, and folders that became empty."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in names:
            path.unlink()
