"""What a stage made of each picture, kept from run to run: the next run does what is new."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from celflow.files import write_bytes

FOLDER = Path(".cache/pictures")
LIBRARIES = (
    "animeface", "numpy", "opencv-python-headless", "pillow", "pillow-heif", "tensorflow",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """What is known of a picture (JSON), and the PNG that was made of it, if any."""

    known: dict[str, Any]
    picture: bytes | None


@dataclass(frozen=True)
class PictureCache:
    """Entries by content: the same bytes, settings, code and libraries have the same key.

    An entry is a file below `FOLDER`, and one for its picture, each written whole or not at all, by
    any number of processes; one that is damaged counts as none.

    Attributes:
        folder: of the entries.
        basis: digest of all that an entry depends on but for the picture.
    """

    folder: Path
    basis: str

    @classmethod
    def of(cls, stage: str, settings: str, code: Iterable[Path]) -> "PictureCache":
        """The cache of a stage.

        settings: all parameters that change a result. code: files, or folders of files, likewise.
        """
        sha256 = hashlib.sha256(settings.encode())
        for library in LIBRARIES:
            with suppress(metadata.PackageNotFoundError):  # an extra that is not installed
                sha256.update(f"{library} {metadata.version(library)}".encode())
        for path in code:
            files = [path] if path.is_file() else sorted(path.rglob("*"))
            for file in files:
                if file.is_file() and "__pycache__" not in file.parts:
                    sha256.update(f"{file.name} ".encode() + file.read_bytes())
        return cls(FOLDER / stage, sha256.hexdigest())

    def key(self, data: bytes, more: str = "") -> str:
        """Of a picture's file; more: what else the result depends on, such as its suffix."""
        return hashlib.sha256(f"{self.basis} {more} ".encode() + data).hexdigest()

    def get(self, key: str) -> Entry | None:
        """The entry, or None."""
        try:
            checksum, _, content = self._path(key).read_bytes().partition(b"\n")
            if checksum.decode(errors="replace") != _digest(content):
                return None
            said = json.loads(content)
            picture = self._picture(key).read_bytes() if said["picture"] else None
        except OSError:
            return None
        if picture is not None and said["picture"] != _digest(picture):
            return None
        return Entry(said["known"], picture)

    def put(self, key: str, entry: Entry) -> None:
        """Keep what was made."""
        digest = None
        if entry.picture is not None:
            digest = _digest(entry.picture)
            write_bytes(self._picture(key), entry.picture)
        content = json.dumps({"known": entry.known, "picture": digest}).encode()
        write_bytes(self._path(key), _digest(content).encode() + b"\n" + content)

    def place(self, key: str, entry: Entry, target: Path) -> None:
        """Make the new file `target` of an entry's picture; its folder, too.

        As a hard link where the file system has them, which is ten times as fast as a copy: a file
        that is written into later damages its entry, which then is made again.
        """
        if entry.picture is None:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self._picture(key), target)
        except OSError:
            target.write_bytes(entry.picture)

    def keep_only(self, keys: Iterable[str]) -> None:
        """Remove entries that a run did not use: the cache is no larger than its pictures."""
        used = set(keys)
        for path in self.folder.glob("*/*"):
            if path.stem not in used:
                path.unlink(missing_ok=True)
        if not used:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _picture(self, key: str) -> Path:
        return self._path(key).with_suffix(".png")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
