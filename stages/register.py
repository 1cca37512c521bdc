"""Make one exported model a version in the MLflow registry: `python -m stages.register MODEL`.

Reads exports/<model>/, runs/<model>.json, metrics/<model>.json and reports/speed/<model>.json,
which it adds to the MLflow run. Writes registered/<model>.json.
The same content gives the same version. The first of a name becomes champion, later ones
challenger.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import mlflow

from celflow import errors, registry
from celflow.files import write_json
from celflow.params import Params, load
from celflow import manifest


def run(model: str, params: Params) -> None:
    """Register `model`."""
    folder = Path("exports") / model
    card = json.loads((folder / "card.json").read_text())
    run_id = json.loads(Path(f"runs/{model}.json").read_text())["run_id"]
    tags = {
        "task": card["task"],
        "labels": json.dumps(card["labels"]),
        "git_commit": git_commit(),
        "data_hash": _md5(manifest.manifest_path(params.pictures(model)).read_bytes()),
        "test_hash": test_hash(params.pictures(model)),
        "params_hash": _md5(getattr(params.train, model).model_dump_json().encode()),
        "dvc_stage": f"train@{model}",
        "gate": "not compared yet",
    }
    speed = json.loads(Path(f"reports/speed/{model}.json").read_text())
    with registry.run(model, run_id):
        mlflow.log_metrics(
            {
                "test_ms_per_image": speed["ms_per_image"],
                "model_mb": speed["size_bytes"] / 1e6,
            }
        )
    version, new = registry.register(model, run_id, folder / "saved_model", card["content"], tags)
    write_json(
        Path(f"registered/{model}.json"),
        {"model": model, "version": version.version, "content": card["content"]},
    )
    words = ", ".join(version.aliases) or "no alias"
    print(f"{model}: version {version.version} ({'new' if new else 'known'}; {words})")


def git_commit() -> str:
    """The commit that is checked out, `none` outside of git; `-dirty` where the code differs."""
    head = _git("rev-parse", "HEAD")
    if head.returncode:
        return "none"
    # What the pipeline itself writes (metrics, dvc.lock) does not count.
    same = _git("diff", "--quiet", "HEAD", "--", "celflow", "stages", "params.yaml", "dvc.yaml")
    return head.stdout.strip() + ("-dirty" if same.returncode else "")


def test_hash(kind: str) -> str:
    """A digest of the test pictures: figures may be compared where it is the same."""
    lines = manifest.manifest_path(kind).read_text(encoding="utf-8").splitlines()
    return _md5("\n".join(line for line in lines if ",test," in line).encode())


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], capture_output=True, text=True)


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
