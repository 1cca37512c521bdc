"""SavedModels on disk, in files that are the same whenever and wherever they are written."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from celflow import images
from celflow.files import write_json
from stages.models.common.model import Servable

FINGERPRINT = "fingerprint.pb"


def write_saved_model(
    servable: Servable, name: str, task: str, labels: list[str], folder: Path
) -> dict[str, Any]:
    """Write saved_model/ and card.json into `folder`; returns the card.

    The card has model, task, labels and the digest of the content.
    """
    saved_model = folder / "saved_model"
    servable.save(saved_model)
    add_warmup(name, saved_model)
    content = digest(saved_model)
    _set_fingerprint(saved_model, content)
    card = {"model": name, "task": task, "labels": labels, "content": content}
    write_json(folder / "card.json", card)
    return card


def add_warmup(name: str, saved_model: Path) -> None:
    """Put a request inside that TensorFlow Serving replays before the version goes live."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
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


def digest(saved_model: Path) -> str:
    """SHA-256 of a SavedModel's files: the same for two exports of the same model.

    All but fingerprint.pb, whose hashes do not see a constant inside a function.
    """
    sha256 = hashlib.sha256()
    for file in sorted(path for path in saved_model.rglob("*") if path.is_file()):
        if file.name != FINGERPRINT:
            sha256.update(file.relative_to(saved_model).as_posix().encode() + file.read_bytes())
    return sha256.hexdigest()


def _set_fingerprint(saved_model: Path, content: str) -> None:
    """TensorFlow gives each SavedModel a random number; ours comes from the content."""
    from tensorflow.core.protobuf import fingerprint_pb2

    path = saved_model / FINGERPRINT
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = str(int(content[:16], 16))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
