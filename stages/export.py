"""Write one model as a SavedModel: `python -m stages.export MODEL`.

Reads models/<model>/. Writes exports/<model>/saved_model/ (preprocessing, calibration, labels and a
warm-up request inside) and exports/<model>/card.json (task, labels, digest of the content). How
long an answer takes differs from run to run, so it goes to MLflow and to
reports/speed/<model>.json, which neither git nor DVC look at.
"""

import json
import sys
import time
from pathlib import Path

import mlflow
import numpy as np

from celflow import errors, manifest, tracking
from celflow.files import atomic_dir, write_json
from celflow.params import CLASSIFICATION_TASKS, Params, load
from stages import no_pictures
from stages.models.common import table
from stages.models.common.saved_model import write_saved_model

TIMED = 24  # pictures
TIMED_ON: tuple[manifest.Split, ...] = ("test", "val", "train")  # the first that has any


def run(name: str, params: Params) -> None:
    """Write the SavedModel of the model `name`."""
    task = params.task(name)
    if no_pictures.skips(name, params, Path("exports") / name):
        return
    splits = manifest.read(params.dataset(name))
    shown = next(splits[split] for split in TIMED_ON if len(splits[split]))
    folder = Path("models") / name
    servable = table.create(name, params).export(folder, shown.labels)
    labels = shown.labels if task in CLASSIFICATION_TASKS else []
    with atomic_dir(Path("exports") / name) as place:
        card = write_saved_model(servable, name, task, labels, place)
    report = speed(Path("exports") / name / "saved_model", shown.paths)
    write_json(Path(f"reports/speed/{name}.json"), report)
    fit = json.loads((folder / "fit.json").read_text())
    with tracking.run_of_fit(name, fit["fit_key"]):
        mlflow.log_metrics(
            {"test_ms_per_image": report["ms_per_image"], "model_mb": report["size_bytes"] / 1e6}
        )
    print(f"{name}: content {card['content'][:16]}, {report['ms_per_image']:.1f} ms an image")


def speed(saved_model: Path, paths: list[str]) -> dict[str, float]:
    """How long a SavedModel takes for a picture file, and its size.

    `ms_per_image` is the median wall-clock time of one file at a time, decoding included, on all
    cores and without a network in between; the first ones, which are slower, do not count.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(saved_model))
    ask = loaded.signatures["serving_default"]
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, TIMED).round().astype(int)]
    times = []
    for path in [*chosen[:4], *chosen]:
        data = tf.constant([Path(path).read_bytes()])
        start = time.perf_counter()
        next(iter(ask(image_bytes=data).values())).numpy()
        times.append(1000 * (time.perf_counter() - start))
    size = sum(file.stat().st_size for file in saved_model.rglob("*") if file.is_file())
    return {"ms_per_image": round(float(np.median(times[4:])), 2), "size_bytes": size}


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
