"""Assign each dataset's pictures to train, val and test; near-duplicates stay on one side.

Reads data/clean/cartoon_or_photo and data/faces. Writes data/split/<dataset>.csv (path, label,
split, group, sha256 of the file) and reports/split.json.
"""

import hashlib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from celflow import errors, metrics, parallel
from celflow.files import write_bytes, write_json
from celflow.manifest import COLUMNS, SPLITS, images_in, manifest_path
from celflow.params import Dataset, Params, SplitConfig, load

FOLDERS: dict[Dataset, Path] = {
    "cartoon_or_photo": Path("data/clean/cartoon_or_photo"),
    "characters": Path("data/faces"),
}


def min_groups(config: SplitConfig, named: bool = False) -> int:
    """Pictures that differ, which a class needs: one for each split that there is.

    named: whether pictures are named for the test.
    """
    return 1 + (named or config.test > 0) + (config.val > 0)


def hashes(path: Path) -> tuple[int, str]:
    """The 64-bit perceptual hash of a picture (DCT, Zauner 2010) and its file's SHA-256."""
    with Image.open(path) as picture:
        bits = imagehash.phash(picture).hash.ravel()
    value = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return value, hashlib.sha256(path.read_bytes()).hexdigest()


def near_duplicate_groups(
    hashes: Sequence[int], sources: Sequence[str | None], max_hamming_distance: int
) -> np.ndarray:
    """Number the groups, int [N]: pictures get one number if a chain of near-duplicates ties them.

    Two are near-duplicates if their 64-bit hashes differ in at most `max_hamming_distance` bits, or
    if they come from the same source (None: of its own).
    """
    bits = np.array(hashes, dtype=np.uint64)
    rows, columns = [], []
    for i in range(len(bits)):  # row by row: the whole N x N table may not fit
        distance = np.bitwise_count(bits[i] ^ bits[i + 1 :])
        alike = np.flatnonzero(distance <= max_hamming_distance) + i + 1
        rows.append(np.full(len(alike), i))
        columns.append(alike)
    first: dict[str, int] = {}
    for i, source in enumerate(sources):
        if source is not None:
            rows.append(np.array([first.setdefault(source, i)]))
            columns.append(np.array([i]))
    edges = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_matrix((np.ones(len(edges[0])), edges), shape=(len(bits), len(bits)))
    groups: np.ndarray = connected_components(graph, directed=False)[1]
    return groups


def assign(
    labels: np.ndarray,
    groups: np.ndarray,
    config: SplitConfig,
    seed: int,
    named: np.ndarray | None = None,
) -> np.ndarray:
    """The split of each picture, str [N]: stratified by label, groups kept whole.

    A split whose share is 0 gets none.

    named: bool [N], pictures for the test; the test is then their groups and nothing else.
    """
    splits = np.full(len(labels), "train", dtype=object)
    shares = {"test": config.test, "val": config.val / (1 - config.test)}
    if named is not None and named.any():
        splits[np.isin(groups, groups[named])] = "test"
        del shares["test"]
    rest = np.flatnonzero(splits == "train")
    for split, share in shares.items():
        if share == 0:
            continue
        most = np.unique(labels[rest], return_counts=True)[1].max()
        folds = StratifiedGroupKFold(
            max(2, min(round(1 / share), most)), shuffle=True, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class may have fewer pictures than there are folds
            held_out_folds = [held for _, held in folds.split(rest, labels[rest], groups[rest])]
        chosen = _most_even(held_out_folds, labels[rest], share)
        splits[rest[chosen]] = split
        rest = np.delete(rest, chosen)
    return splits


def _most_even(folds: list[np.ndarray], labels: np.ndarray, share: float) -> np.ndarray:
    """The fold whose classes come nearest to `share` of each class, judged by the worst of them."""
    names, totals = np.unique(labels, return_counts=True)

    def worst(held: np.ndarray) -> float:
        shares = [np.sum(labels[held] == n) / total for n, total in zip(names, totals, strict=True)]
        # A class that is absent, or all gone, would make the split useless.
        return float(max(abs(s - share) + (s in (0.0, 1.0)) for s in shares))

    return min(folds, key=worst)


def _check_named(labels: np.ndarray, test: np.ndarray, groups: np.ndarray, least: int) -> None:
    """least: pictures that differ, which a class needs beside those of the test."""
    for label in np.unique(labels):
        rest = len(set(groups[(labels == label) & ~test]))
        if rest < least or not np.any((labels == label) & test):
            raise errors.UserError(
                f"split.test_sources leaves class '{label}' {rest} picture(s) that differ to learn "
                f"from and {np.sum((labels == label) & test)} to test on: at least "
                f"{least} and 1 are needed"
            )


def held_out(dataset: Dataset, labels: np.ndarray, params: Params) -> np.ndarray:
    """bool [N]: pictures of classes that no model shall learn.

    Raises:
        UserError: there is no such character, fewer than two are left, or a class that is to be
            learnt is called like the answer of models that know none.
    """
    names = params.split.held_out_classes if dataset == "characters" else []
    for name in names:
        if name not in labels:
            raise errors.UserError(
                f"split.held_out_classes: no character '{name}' in {params.data.folder(dataset)}"
            )
    unknown = np.isin(labels, names)
    for name in (metrics.UNKNOWN, metrics.UNSURE):
        if name in labels[~unknown]:
            raise errors.UserError(
                f"{params.data.folder(dataset)} has a class '{name}', which is what models answer "
                "where they know none: rename the folder"
                + (", or add it to split.held_out_classes" if dataset == "characters" else "")
            )
    if len(np.unique(labels[~unknown])) < 2:
        raise errors.UserError(
            "split.held_out_classes leaves fewer than two characters to tell apart"
        )
    return unknown


def split_dataset(dataset: Dataset, params: Params) -> dict[str, Any]:
    """Write one dataset's manifest; returns its part of reports/split.json."""
    classes = images_in(FOLDERS[dataset], may_be_empty=True)
    if not classes:
        write_bytes(manifest_path(dataset), (",".join(COLUMNS) + "\n").encode())
        return {"pictures": 0, "near_duplicates": 0, **{split: {} for split in SPLITS}}
    if len(classes) < 2:
        raise errors.UserError(
            f"{params.data.folder(dataset)} has one class: two or more are needed"
        )
    paths = [path for files in classes.values() for path in files]
    labels = np.array([label for label, files in classes.items() for _ in files])
    prints = parallel.parallel_map(hashes, paths, params.data, f"hash {dataset}")
    pattern = params.split.source
    sources = [match[1] if pattern and (match := re.search(pattern, path.name)) else None
               for path in paths]  # fmt: skip
    groups = near_duplicate_groups(
        [value for value, _ in prints], sources, params.split.max_hamming_distance
    )
    aside = params.split.test_sources
    named = np.array([bool(aside and re.search(aside, path.name)) for path in paths])
    least = min_groups(params.split, bool(named.any()))
    for label in classes:
        count = len(set(groups[labels == label]))
        if count < least:
            raise errors.UserError(
                f"class '{label}' in {params.data.folder(dataset)} has {count} picture(s) that "
                f"differ, and {least} is the least: add pictures or take the folder out"
            )
    if named.any():
        _check_named(labels, np.isin(groups, groups[named]), groups, least - 1)
    unknown = held_out(dataset, labels, params)
    splits = np.full(len(labels), "unknown", dtype=object)
    splits[~unknown] = assign(
        labels[~unknown], groups[~unknown], params.split, params.seed, named[~unknown]
    )
    table = pd.DataFrame(
        {
            "path": [path.as_posix() for path in paths],
            "label": labels,
            "split": splits,
            "group": groups,
            "sha256": [digest for _, digest in prints],
        },
        columns=COLUMNS,
    )
    write_bytes(manifest_path(dataset), table.to_csv(index=False).encode())
    sizes = np.bincount(groups)
    return {
        "pictures": len(table),
        "near_duplicates": int((sizes[sizes > 1] - 1).sum()),
        **{split: table[table["split"] == split]["label"].value_counts().sort_index().to_dict()
           for split in SPLITS},
    }  # fmt: skip


def run(params: Params) -> None:
    """Split both datasets."""
    report = {dataset: split_dataset(dataset, params) for dataset in FOLDERS}
    write_json(Path("reports/split.json"), report)
    for dataset, part in report.items():
        counts = ", ".join(f"{name} {sum(part[name].values())}" for name in SPLITS)
        print(f"{dataset}: {counts}; {part['near_duplicates']} tied to a near-duplicate or source")


if __name__ == "__main__":
    errors.run(lambda: run(load()))
