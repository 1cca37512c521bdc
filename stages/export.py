"""Write one model as a SavedModel: `python -m stages.export MODEL`.

Reads models/<model>/. Writes exports/<model>/saved_model/ (preprocessing, calibration, labels and a
warm-up request inside), exports/<model>/card.json (task, labels, digest of the content) and
reports/speed/<model>.json. Times differ from run to run, so they stand apart from the figures in
metrics/, which do not, and no other stage but `register` reads them.
"""

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from celflow import errors, images
from celflow.files import atomic_dir, write_json
from celflow.params import CLASSIFY, Params, load
from celflow import manifest
from stages import models
from stages.models import calibration

TIMED = 24  # pictures


def run(model: str, params: Params) -> None:
    """Write the SavedModel of `model`."""
    task = params.task(model)
    test = manifest.read(params.pictures(model))["test"]
    family = models.family(model)
    served = family.export(Path("models") / model, test.labels)
    if task in CLASSIFY and models.calibrates(family):
        served.calibration = calibration.load(model, params)
    with atomic_dir(Path("exports") / model) as folder:
        card = write(served, model, task, test.labels if task in CLASSIFY else [], folder)
    report = speed(Path("exports") / model / "saved_model", test.paths)
    write_json(Path(f"reports/speed/{model}.json"), report)
    print(f"{model}: content {card['content'][:16]}, {report['ms_per_image']:.1f} ms an image")


def write(served: Any, model: str, task: str, labels: list[str], folder: Path) -> dict[str, Any]:
    """Write saved_model/ and card.json into `folder`; returns the card."""
    saved_model = folder / "saved_model"
    served.save(saved_model)
    add_warmup(model, saved_model)
    card = {"model": model, "task": task, "labels": labels, "content": content(saved_model)}
    write_json(folder / "card.json", card)
    return card


def speed(saved_model: Path, paths: list[str]) -> dict[str, float]:
    """How long a SavedModel takes over a picture file, and its size.

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


def add_warmup(model: str, saved_model: Path) -> None:
    """Put a request inside that TensorFlow Serving replays before the version goes live."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    picture = images.encode_png(np.full((256, 256, 3), 127, np.uint8))
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([picture]))
    log = prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
    extra = saved_model / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def content(saved_model: Path) -> str:
    """SHA-256 of a SavedModel's files: the same for two exports of the same model.

    All but fingerprint.pb, which has a random number in it (and whose hashes do not see a constant
    inside a function).
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in saved_model.rglob("*") if path.is_file()):
        if file.name != "fingerprint.pb":
            digest.update(file.relative_to(saved_model).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
