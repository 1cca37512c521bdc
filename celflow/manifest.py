"""The list of a dataset's pictures, with label and split: split writes it, later stages read it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from celflow.errors import UserError
from celflow.names import shown
from celflow.params import Dataset

Split = Literal["train", "val", "test", "unknown"]
SPLITS: tuple[Split, ...] = ("train", "val", "test", "unknown")
COLUMNS = ["path", "label", "split", "group", "sha256"]


@dataclass(frozen=True)
class Examples:
    """The labelled pictures of one split.

    paths: where they are, from the project's folder.
    truth: int [N], index into `labels`; their number for a picture of a class that is held out.
    labels: names of all classes, in the fixed order in which every model answers.
    """

    paths: list[str]
    truth: np.ndarray
    labels: list[str]

    def __len__(self) -> int:
        return len(self.paths)


def manifest_path(dataset: Dataset) -> Path:
    """Where the manifest of a dataset is."""
    return Path("data/split") / f"{dataset}.csv"


def read(dataset: Dataset) -> dict[Split, Examples]:
    """The splits of a dataset: to learn from, to stop by, to test on, and the classes held out.

    Raises:
        UserError: the split stage was not run.
    """
    path = manifest_path(dataset)
    if not path.is_file():
        raise UserError(f"no {path}: run `dvc repro split` first")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)  # a class may be called "NA"
    labels = sorted(table.loc[table["split"] != "unknown", "label"].unique())
    index = {label: i for i, label in enumerate(labels)}
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        rows = table[table["split"] == split]
        truth = rows["label"].map(index).fillna(len(labels)).to_numpy(dtype=np.int64)
        splits[split] = Examples(rows["path"].tolist(), truth, labels)
    return splits


def images_in(folder: Path, may_be_empty: bool = False) -> dict[str, list[Path]]:
    """Files by class: the sub-folders' names, each with its files in order.

    Raises:
        UserError: the folder is missing, has no sub-folder (unless it `may_be_empty`), or a
            sub-folder has no file, a name that is no text, or links to folders in it.
        OSError: a folder can't be read.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: name yours in params.yaml under 'data'")
    classes = {
        inner.name: _files_below(inner)
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and not inner.name.startswith(".") and _is_class(inner)
    }
    if not classes and not may_be_empty:
        raise UserError(f"{folder} has no sub-folders: it needs one a class, with pictures in it")
    for name, files in classes.items():
        if not files:
            raise UserError(f"{folder / name} is empty: put pictures there or remove the folder")
    return classes


def _is_class(folder: Path) -> bool:
    """True. Raises UserError for a folder that can't stand for a class."""
    if not folder.name.isprintable():  # lone bytes, line breaks: no label of a model
        raise UserError(f"the folder {shown(folder)} can't name a class: give it another name")
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{folder} is a link to a folder that it lies in: remove it")
    return True


def _files_below(folder: Path) -> list[Path]:
    """The files below a folder, in order. A link that leads nowhere counts: who reads it, says so.

    Raises:
        UserError: a folder inside is a link, which could lead in a circle.
        OSError: a folder can't be read.
    """
    found = []
    for here, folders, names in os.walk(folder, onerror=_fail):
        linked = [name for name in folders if Path(here, name).is_symlink()]
        if linked:
            raise UserError(
                f"{shown(Path(here, linked[0]))} is a link to a folder, which is not followed: "
                "link the files, or the folder of the class"
            )
        paths = [Path(here, name) for name in names]
        found += [path for path in paths if path.is_file() or path.is_symlink()]
    return sorted(found)


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):  # gone since it was listed
        raise error
