"""Where a model's versions lie: a folder here, or one in an object store, of which a copy is made.

`gs://`, `s3://` and what else fsspec knows (its own package for each: gcsfs, s3fs). Versions are
copied once, whole; files of a version that change there later are not seen.
"""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from serving.server.runtime.model_files import SAVED_MODEL_FILES, TFLITE_FILE

log = logging.getLogger(__name__)


def is_absolute(base_path: str) -> bool:
    """Whether a base path says where it is, wherever the server was started."""
    return "://" in base_path or Path(base_path).is_absolute()


class BasePaths:
    """The folders here of all base paths."""

    def __init__(self) -> None:
        self._copies: Path | None = None
        self._problems: dict[str, str] = {}

    def local(self, base_path: str) -> Path:
        """The folder of a base path, brought up to date where it is a copy.

        A store that does not answer leaves the copy as it is; a line in the log says so once.
        """
        parts = urlsplit(base_path)
        if "://" not in base_path:
            return Path(base_path)
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="model-server-"))
        folder = self._copies / parts.scheme / parts.netloc / parts.path.strip("/")
        try:
            _copy(base_path, folder)
            problem = ""
        except Exception as error:  # each store has errors of its own
            problem = f"{base_path} can't be read: {type(error).__name__}: {error}"
        if problem and self._problems.get(base_path) != problem:
            log.error("%s", problem)
        self._problems[base_path] = problem
        return folder

    def remove(self) -> None:
        """Remove the copies."""
        if self._copies is not None:
            shutil.rmtree(self._copies, ignore_errors=True)


def _copy(base_path: str, folder: Path) -> None:
    """Copy versions that are new, and remove those that are gone."""
    import fsspec

    files, root = fsspec.core.url_to_fs(base_path)
    there = {Path(path).name: path for path in files.ls(root, detail=False, refresh=True)}
    there = {name: path for name, path in there.items() if name.isascii() and name.isdigit()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in there.items():
        if not (folder / name).exists() and _has_model_file(files, path):
            beside = folder / f"copying-{name}"
            shutil.rmtree(beside, ignore_errors=True)
            files.get(path.rstrip("/") + "/", f"{beside}/", recursive=True)
            beside.rename(folder / name)
    for copied in folder.iterdir():
        if copied.name not in there:
            shutil.rmtree(copied, ignore_errors=True)


def _has_model_file(files: Any, version: str) -> bool:
    """Whether a version is there: the rest of its files are older, as stores have no renames."""
    return any(files.exists(f"{version}/{name}") for name in (*SAVED_MODEL_FILES, TFLITE_FILE))
