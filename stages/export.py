"""Write one model as a SavedModel: `python -m stages.export MODEL`.

Reads models/<model>/. Writes exports/<model>/saved_model/ (preprocessing, labels and a warm-up
request inside) and exports/<model>/card.json (task, labels, digest of the content).
"""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from celflow import errors, images
from celflow.files import replacing, write_json
from celflow.params import Params, load
from stages import manifest, models


def run(model: str, params: Params) -> None:
    """Write the SavedModel of `model`."""
    task = params.task(model)
    labels = manifest.read(task)["train"].labels
    classifier = models.family(model).export(Path("models") / model, labels)
    with replacing(Path("exports") / model) as folder:
        saved_model = folder / "saved_model"
        classifier.save(saved_model)
        add_warmup(model, saved_model)
        card = {"model": model, "task": task, "labels": labels, "content": content(saved_model)}
        write_json(folder / "card.json", card)
    print(f"{model}: content {card['content'][:16]}")


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
    extra.mkdir()
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
