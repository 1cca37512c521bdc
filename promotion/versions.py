"""What one version is, and how two of a model differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from celflow import manifest, registry
from celflow.params import DATASETS

INTERVAL = ("_low", "_high")  # endings of the metrics that bound another one


def describe(version: registry.RegisteredVersion) -> dict[str, Any]:
    """All that is known of a version, for people and programs."""
    history = [c for c in registry.history(version.model) if c.version == version.version]
    return {
        "model": version.model,
        "version": version.version,
        "aliases": list(version.aliases),
        "created": version.created,
        "run_id": version.run_id,
        "tags": version.tags,
        "parameters": registry.parameters(version),
        "metrics": version.metrics,
        "changes": [f"{change.when}: {change.kind} to {change.alias}" for change in history],
    }


def difference(
    old: registry.RegisteredVersion, new: registry.RegisteredVersion
) -> dict[str, dict[str, Any]]:
    """How two versions of a model differ.

    parameters: name to [old, new]. pictures: `added`, `removed`, `relabelled`, lists of paths, or
    `unknown`, why they can't be compared. metrics: name to [old, new], each with its interval where
    it has one.
    """
    settings = [registry.parameters(version) for version in (old, new)]
    return {
        "parameters": {
            name: [one.get(name) for one in settings]
            for name in sorted({*settings[0], *settings[1]})
            if settings[0].get(name) != settings[1].get(name)
        },
        "pictures": _pictures(old, new),
        "metrics": {
            name: [_with_interval(version.metrics, name) for version in (old, new)]
            for name in sorted({*old.metrics, *new.metrics})
            if not name.endswith(INTERVAL)
        },
    }


def _with_interval(metrics: Mapping[str, float], name: str) -> list[float] | None:
    """[value] or [value, low, high]."""
    if name not in metrics:
        return None
    ends = [metrics[name + end] for end in INTERVAL if name + end in metrics]
    return [metrics[name], *ends]


def _pictures(old: registry.RegisteredVersion, new: registry.RegisteredVersion) -> dict[str, Any]:
    tables = []
    for version in (old, new):
        digest = version.tags.get("data_hash", "")
        path = manifest_file(digest)
        if path is None:
            short = digest[:8] or "none"
            return {"unknown": f"no manifest {short} of version {version.version} in DVC's cache"}
        tables.append(pd.read_csv(path, dtype=str, keep_default_na=False).set_index("path"))
    before, after = tables
    both = before.index.intersection(after.index)
    moved = both[(before.loc[both, "label"] != after.loc[both, "label"]).to_numpy()]
    return {
        "added": sorted(after.index.difference(before.index)),
        "removed": sorted(before.index.difference(after.index)),
        "relabelled": sorted(moved),
    }


def manifest_file(digest: str) -> Path | None:
    """The manifest with this MD5: the present one, or one that DVC keeps."""
    from celflow.lineage import md5

    for dataset in DATASETS:
        path = manifest.manifest_path(dataset)
        if path.is_file() and md5(path.read_bytes()) == digest:
            return path
    if not digest or not Path(".dvc").is_dir():
        return None
    from dvc.repo import Repo

    kept = Path(Repo().cache.local.oid_to_path(digest))
    return kept if kept.is_file() else None
