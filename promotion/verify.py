"""Make a registered version again from what it says about itself, and compare."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import yaml

from celflow import lineage, registry
from celflow.errors import UserError
from celflow.params import Params
from celflow.pyfunc import SavedModelFunc
from promotion.versions import manifest_file

TOLERANCE = 1e-3  # of each score (0 to 1), on another kind of machine
PICTURES = 32  # of test on which scores are compared
DIRTY = "-dirty"


@dataclass(frozen=True)
class Verified:
    """What came of making a version again.

    result: `bit-equal`, `within tolerance`, `different` or `missing`.
    words: in a line, what was compared or what is missing.
    """

    result: str
    words: str


class _Missing(UserError):
    """Something that is needed to make the version again is not there."""


def verify(version: registry.RegisteredVersion, params: Params) -> Verified:
    """Train and export a version again, from its commit, parameters and data, in a clone."""
    try:
        with _made_again(version, params) as exported:
            card = json.loads((exported / "card.json").read_text())
            if card["content"] == version.tags[registry.CONTENT]:
                return Verified("bit-equal", f"content {card['content'][:16]}")
            return _compare(version, exported / "saved_model", params)
    except _Missing as missing:
        return Verified("missing", str(missing))


@contextmanager
def _made_again(version: registry.RegisteredVersion, params: Params) -> Iterator[Path]:
    """The exports/<model> of a clone in which it was trained again."""
    tags = version.tags
    commit = tags.get("git_commit", "none")
    if "from_version" in tags:
        raise _Missing("the pictures by which a character was enrolled are not kept")
    if commit == "none":
        raise _Missing("it was not trained in a git repository")
    if commit.endswith(DIRTY):
        raise _Missing(f"it was trained from files that were not committed ({commit[:7]} differs)")
    listed = manifest_file(tags.get("data_hash", ""))
    if listed is None:
        raise _Missing(f"its manifest {tags.get('data_hash', '')[:8]} is not in DVC's cache")
    project = Path.cwd()
    with TemporaryDirectory(prefix="celflow-verify-") as temporary:
        clone = Path(temporary) / "clone"
        _git("clone", "--quiet", "--shared", "--no-checkout", str(project), str(clone))
        try:
            _git("-C", str(clone), "checkout", "--quiet", commit)
        except subprocess.CalledProcessError:
            raise _Missing(f"commit {commit[:7]} is not in this repository") from None
        section = yaml.safe_load((clone / "params.yaml").read_text())["train"][version.model]
        if lineage.params_hash(section) != tags.get("params_hash"):
            raise _Missing(f"params.yaml of commit {commit[:7]} has other parameters for it")
        dataset = params.dataset(version.model)
        split = clone / "data/split" / f"{dataset}.csv"
        split.parent.mkdir(parents=True)
        shutil.copyfile(listed, split)
        _bring_pictures(split, project, clone)
        _run(version.model, clone)
        yield clone / "exports" / version.model


def _bring_pictures(split: Path, project: Path, clone: Path) -> None:
    """Link every picture of a manifest into the clone, each looked at by its digest."""
    import hashlib

    table = pd.read_csv(split, dtype=str, keep_default_na=False)
    missing = []
    for path, digest in zip(table["path"], table["sha256"], strict=True):
        source, target = project / path, clone / path
        found = source.is_file() and hashlib.sha256(source.read_bytes()).hexdigest() == digest
        if not found:
            missing.append(path)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(source)
    if missing:
        raise _Missing(
            f"{len(missing)} of its {len(table)} pictures are not there or changed, as {missing[0]}"
        )


def _run(model: str, clone: Path) -> None:
    # Sums of another number of threads are others; `make repro` trains with one.
    environment: Mapping[str, str] = {
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        **os.environ,
        "PYTHONPATH": str(clone),
        "MLFLOW_TRACKING_URI": f"sqlite:///{clone}/mlflow.db",
        "DVC_ROOT": "",
    }
    for stage in ("train", "export"):
        done = subprocess.run(
            [sys.executable, "-m", f"stages.{stage}", model],
            cwd=clone, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise _Missing(f"stage {stage} of its commit fails here: {last}")


def _compare(version: registry.RegisteredVersion, again: Path, params: Params) -> Verified:
    """Ask both about the same test pictures."""
    from celflow import manifest

    test = manifest.read(params.dataset(version.model))["test"].paths[:PICTURES]
    asked = pd.DataFrame({"image_bytes": [Path(path).read_bytes() for path in test]})
    with registry.saved_model(version) as folder:
        old, new = (SavedModelFunc(one).predict(asked) for one in (folder, again))
    if list(old.columns) != list(new.columns):
        return Verified("different", "it answers other names")
    if not all(np.issubdtype(kind, np.number) for kind in old.dtypes):
        return Verified("different", "the files of the SavedModel differ")
    apart = float(np.abs(old.to_numpy() - new.to_numpy()).max()) if len(old) else 0.0
    words = f"scores of {len(old)} test pictures differ by {apart:.2g} at most"
    return Verified("within tolerance" if apart <= TOLERANCE else "different", words)


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True, text=True)
