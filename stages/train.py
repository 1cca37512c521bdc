"""Fit one model: `python -m stages.train MODEL`.

Reads data/split/<dataset>.csv and the pictures it names. Writes models/<model>/ (the fitted model,
its raw scores of the validation pictures, and `fit.json`, which names the fit) and
plots/train/<model>.csv (a line an epoch); metrics go to MLflow. What an interrupted fit leaves in
checkpoints/<model>/ is taken up again, if data, parameters and code are still the same.
"""

import hashlib
import json
import math
import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd

from celflow import errors, manifest, tracking
from celflow.files import atomic_dir, write_bytes, write_json
from celflow.params import Params, load
from stages import no_pictures
from stages.models.common import calibration, table
from stages.models.common.cluster import is_chief
from stages.models.common.model import Classifier

FIT_FILE = "fit.json"
COMMON = Path("stages/models/common")


def fit_key(model: str, params: Params) -> str:
    """A digest of all that a fit depends on: parameters and files they name, manifest, the files
    of the model's folder (code, released weights, what was left out) but its card.
    """
    digest = hashlib.sha256(f"{params.seed} {params.train[model]!r}".encode())
    digest.update(manifest.manifest_path(params.dataset(model)).read_bytes())
    for folder in (COMMON, Path(params.model(model).code)):
        for source in sorted(folder.rglob("*")):
            if source.is_file() and source.suffix not in (".md", ".pyc"):
                digest.update(source.as_posix().encode() + source.read_bytes())
    for value in params.train[model].values():
        if isinstance(value, str) and Path(value).expanduser().is_file():
            digest.update(Path(value).expanduser().read_bytes())
    return digest.hexdigest()


def run(name: str, params: Params) -> None:
    """Fit the model `name`, in an MLflow run of its own; a cluster's other workers only help."""
    curve = Path(f"plots/train/{name}.csv")
    if no_pictures.skips(name, params, Path("models") / name, curve):
        return
    model = table.create(name, params)
    splits = manifest.read(params.dataset(name))
    if not is_chief():
        with TemporaryDirectory() as scratch:
            model.fit(splits, Path(scratch), Path("checkpoints") / name, lambda *_: None)
        return
    key = fit_key(name, params)
    checkpoint_dir = _checkpoint_dir(name, key)
    history: list[dict[str, float]] = []

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        history.append({"epoch": epoch, **metrics})
        # Each time: a fit that fails leaves its curve, too.
        write_bytes(curve, pd.DataFrame(history).to_csv(index=False).encode())
        mlflow.log_metrics({**metrics}, step=epoch)
        for metric in ("loss", "val_loss"):
            if not math.isfinite(metrics.get(metric, 0)):
                raise errors.UserError(
                    f"{name}: {metric} is {metrics[metric]} in epoch {epoch}, so nothing can be "
                    f"learnt any more: try a smaller train.{name}.learning_rate"
                )

    run_file = checkpoint_dir / "run.json"
    interrupted = json.loads(run_file.read_text())["run_id"] if run_file.is_file() else None
    with tracking.run(name, interrupted) as active:
        write_json(run_file, {"run_id": active.info.run_id})
        _log_lineage(name, params, key)
        with atomic_dir(Path("models") / name) as folder:
            model.fit(splits, folder, checkpoint_dir, log)
            if isinstance(model, Classifier) and model.is_calibrated:
                val = model.validation(splits["val"], checkpoint_dir)
                if len(val):
                    raw = model.predict(folder, val.paths)
                    calibration.write_validation(folder, val.truth, raw)
                else:
                    print(f"{name}: no pictures of val to calibrate its scores by")
            write_json(folder / FIT_FILE, {"fit_key": key})
    shutil.rmtree(checkpoint_dir)
    last = ", ".join(f"{key} {value:.4g}" for key, value in history[-1].items())
    print(f"{name}: {last}")


def _checkpoint_dir(model: str, key: str) -> Path:
    """Where this fit keeps its checkpoints; those of another fit are removed."""
    folder = Path("checkpoints") / model
    kept = folder / "key"
    if not kept.is_file() or kept.read_text() != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        kept.write_text(key)
    return folder


def _log_lineage(model: str, params: Params, key: str) -> None:
    dataset = params.dataset(model)
    mlflow.log_params({**params.train[model], "seed": params.seed, "task": params.task(model)})
    path = manifest.manifest_path(dataset)
    digest = hashlib.md5(path.read_bytes()).hexdigest()  # as DVC has it in dvc.lock
    mlflow.set_tags({"dvc_stage": f"train@{model}", "data_hash": digest, "fit_key": key})
    lines = pd.read_csv(path, dtype=str, keep_default_na=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wonders which kind of file a local file is
        for split, context in (("train", "training"), ("val", "validation"), ("test", "testing")):
            rows = lines.loc[lines["split"] == split, ["path", "label", "sha256"]]
            if rows.empty:
                continue
            data = mlflow.data.from_pandas(
                rows, source=str(path), name=f"{dataset}-{split}", targets="label"
            )
            mlflow.log_input(data, context=context)


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
