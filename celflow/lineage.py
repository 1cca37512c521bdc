"""Where a model version comes from: commit, data, parameters, as tags in the registry."""

import hashlib
import json
import subprocess
from typing import Any

from celflow import manifest
from celflow.params import Dataset, Params


def tags(model: str, params: Params) -> dict[str, str]:
    """Tags of a version that is made of a trained model now."""
    dataset = params.dataset(model)
    return {
        "git_commit": git_commit(),
        "data_hash": md5(manifest.manifest_path(dataset).read_bytes()),
        "test_hash": test_hash(dataset),
        "params_hash": params_hash(params.train[model]),
        "dvc_stage": f"train@{model}",
    }


def params_hash(section: dict[str, Any]) -> str:
    """A digest of a model's section of `train`."""
    return md5(json.dumps(section, sort_keys=True).encode())


def git_commit() -> str:
    """The commit that is checked out, `none` outside of git; `-dirty` where the code differs."""
    head = _git("rev-parse", "HEAD")
    if head.returncode:
        return "none"
    # What the pipeline itself writes (metrics, dvc.lock) does not count.
    same = _git("diff", "--quiet", "HEAD", "--", "celflow", "stages", "params.yaml", "dvc.yaml")
    return head.stdout.strip() + ("-dirty" if same.returncode else "")


def test_hash(dataset: Dataset) -> str:
    """A digest of the test split: metrics may be compared where it is the same."""
    lines = manifest.manifest_path(dataset).read_text(encoding="utf-8").splitlines()
    return md5("\n".join(line for line in lines if ",test," in line).encode())


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, errors="replace")
    except FileNotFoundError:  # git is not installed
        return subprocess.CompletedProcess(["git", *words], 127, "", "")


def md5(content: bytes) -> str:
    """The digest by which DVC knows a file."""
    return hashlib.md5(content).hexdigest()
