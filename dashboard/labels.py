"""Labels that people give on the pages: the picture under its label, and a line in a log."""

import hashlib
import json
from datetime import datetime, timezone
from pathlib import Path

from celflow.files import write_bytes
from celflow.params import DataConfig, Dataset

OWN = Path("data/labelled")  # where the raw folder is made anew: the sample, or a copy
LOG = Path("data/labels.jsonl")  # a line for each label, taken back or not


def folder(dataset: Dataset, data: DataConfig) -> Path:
    """Where labelled pictures go: the dataset's raw folder, from which `dvc repro` learns."""
    raw = data.folder(dataset)
    if raw is None or data.address(dataset) or raw.is_relative_to("data/sample"):
        return OWN / dataset
    return raw


def keep(into: Path, label: str, content: bytes, source: str, was: str) -> Path:
    """Write a picture below its label; the same one is written once. Returns the file.

    into: the folder of the dataset. source: the file it is from. was: the model's answer.
    """
    suffix = ".png" if content.startswith(b"\x89PNG") else ".jpg"
    name = f"labelled-{hashlib.sha256(content).hexdigest()[:16]}{suffix}"
    file = into / label.replace("/", "_") / name
    write_bytes(file, content)
    _log({"label": label, "was": was, "source": source, "file": str(file)})
    return file


def take_back(file: Path) -> None:
    """Remove a picture that was labelled."""
    file.unlink(missing_ok=True)
    _log({"taken_back": str(file)})


def _log(line: dict[str, str]) -> None:
    LOG.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": now, **line}) + "\n")
