"""The versions in a model's base path, and which of them its version policy asks for."""

from collections.abc import Collection
from pathlib import Path

from serving.protos import model_server_config_pb2
from serving.server.repository.load_failures import Fingerprint
from serving.server.runtime.model_files import SAVED_MODEL_FILES, TFLITE_FILE


def on_disk(base_path: Path, loaded: Collection[int] = ()) -> dict[int, Path] | None:
    """Version number to folder; None where the base path itself is missing.

    A version's folder has a whole number for a name and a model file in it: anything else is still
    being copied, or is no version. The folder of a `loaded` version needs no file: its files may be
    being replaced.
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
        and (int(folder.name) in loaded or _has_model_file(folder))
    }


def _has_model_file(folder: Path) -> bool:
    try:
        return any((folder / name).is_file() for name in (*SAVED_MODEL_FILES, TFLITE_FILE))
    except OSError:
        return False


def wanted(config: model_server_config_pb2.ModelConfig, found: Collection[int]) -> set[int]:
    """The versions in `found` that a model's version policy asks for; without one, the latest."""
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return set(found)
    if choice == "specific":
        return set(found) & set(policy.specific.versions)
    return set(sorted(found)[-(policy.latest.num_versions or 1) :])


def absent(config: model_server_config_pb2.ModelConfig, found: Collection[int]) -> set[int]:
    """The versions that a `specific` policy asks for, but which are not in `found`."""
    return set(config.model_version_policy.specific.versions) - set(found)


def absent_message(name: str, version: int) -> str:
    """What the status of such a version says, in TensorFlow Serving's words."""
    return (
        f"Version {version} of servable {name}, which was requested to be served as a 'specific' "
        "version in the servable's version policy, was not found in the file system"
    )


def no_versions_message(name: str, base_path: Path, found: Collection[int] | None) -> str:
    """Why a model has no version, in TensorFlow Serving's words; `found` as of `on_disk`."""
    what = "Could not find base path" if found is None else "No versions found under base path"
    return f"{what} {base_path} for servable {name}"


def fingerprint(folder: Path) -> Fingerprint:
    """Name, size and time of every file: it changes when a broken folder is repaired."""
    files = []
    for path in folder.rglob("*"):
        try:
            stat = path.stat()
        except OSError:
            continue
        files.append((str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns))
    return frozenset(files)
