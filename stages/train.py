"""Fit one model: `python -m stages.train MODEL`.

Reads data/split/<task>.csv and the pictures it names. Writes models/<model>/ (the fitted model, and
its scores of the validation pictures), plots/train/<model>.csv (a line an epoch) and
runs/<model>.json (the MLflow run). What an interrupted fit leaves in checkpoints/<model>/ is taken
up again, if data, parameters and code are still the same.
"""

import hashlib
import json
import shutil
import sys
import warnings
from pathlib import Path

import mlflow
import pandas as pd

from celflow import errors, registry
from celflow.files import atomic_dir, write_bytes, write_json
from celflow.params import CLASSIFY, Params, load
from celflow import manifest
from stages import models
from stages.models import calibration


def fit_key(model: str, params: Params) -> str:
    """A digest of all that a fit depends on: parameters, manifest, code."""
    digest = hashlib.sha256(f"{params.seed} {getattr(params.train, model)!r}".encode())
    digest.update(manifest.manifest_path(params.pictures(model)).read_bytes())
    for source in sorted(Path(models.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def run(model: str, params: Params) -> None:
    """Fit `model`, in an MLflow run of its own."""
    models.check_task(model, params.task(model))
    family = models.family(model)
    splits = manifest.read(params.pictures(model))
    scratch = _scratch(model, fit_key(model, params))
    history: list[dict[str, float]] = []

    def log(epoch: int, figures: dict[str, float]) -> None:
        history.append({"epoch": epoch, **figures})
        mlflow.log_metrics(figures, step=epoch)

    run_file = scratch / "run.json"
    before = json.loads(run_file.read_text())["run_id"] if run_file.is_file() else None
    with registry.run(model, before) as active:
        write_json(run_file, {"run_id": active.info.run_id})
        _log_lineage(model, params)
        with atomic_dir(Path("models") / model) as folder:
            family.fit(params, splits, folder, scratch, log)
            if params.task(model) in CLASSIFY and models.calibrates(family):
                val = models.validation(family)(params, splits["val"], scratch)
                raw = family.predict(folder, val.paths)
                calibration.write_validation(folder, val.truth, raw)
    curve = pd.DataFrame(history).to_csv(index=False)
    write_bytes(Path(f"plots/train/{model}.csv"), curve.encode())
    write_json(Path(f"runs/{model}.json"), {"run_id": active.info.run_id})
    shutil.rmtree(scratch)
    print(f"{model}: " + ", ".join(f"{name} {value:.4g}" for name, value in history[-1].items()))


def _scratch(model: str, key: str) -> Path:
    folder = Path("checkpoints") / model
    kept = folder / "key"
    if not kept.is_file() or kept.read_text() != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        kept.write_text(key)
    return folder


def _log_lineage(model: str, params: Params) -> None:
    knobs = getattr(params.train, model).model_dump()
    mlflow.log_params({**knobs, "seed": params.seed, "task": params.task(model)})
    kind = params.pictures(model)
    path = manifest.manifest_path(kind)
    digest = hashlib.md5(path.read_bytes()).hexdigest()  # as DVC has it in dvc.lock
    mlflow.set_tags({"dvc_stage": f"train@{model}", "data_hash": digest})
    table = pd.read_csv(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wonders which kind of file a local file is
        for part, context in (("train", "training"), ("val", "validation"), ("test", "testing")):
            rows = table.loc[table["split"] == part, ["path", "label", "sha256"]]
            data = mlflow.data.from_pandas(
                rows, source=str(path), name=f"{kind}-{part}", targets="label"
            )
            mlflow.log_input(data, context=context)


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
