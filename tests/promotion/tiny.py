"""Tiny models in a small project, registered in MLflow, and celflow in processes of its own."""

import json
import os
from multiprocessing.process import BaseProcess
from pathlib import Path

import tensorflow as tf

from celflow import registry, tracking
from stages.models.common.saved_model import digest

from .killed import CONTEXT, celflow


class Bright(tf.Module):
    """Calls a picture a photo as far as it is bright."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = tf.constant(bias)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def one(data: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(tf.cast(tf.io.decode_png(data, channels=3), tf.float32)) / 255

        photo = tf.map_fn(one, image_bytes, fn_output_signature=tf.float32)
        photo = tf.clip_by_value(photo + self.bias, 0, 1)
        classes = tf.tile(tf.constant([["cartoon", "photo"]]), [tf.size(photo), 1])
        return {"scores": tf.stack([1 - photo, photo], 1), "classes": classes}


def save(folder: Path, bias: float) -> str:
    """Write the model; returns its digest."""
    model = Bright(bias)
    tf.saved_model.save(model, str(folder), {"serving_default": model.classify})
    return digest(folder)


class TinyProject:
    """A project with registered models of two or three versions each."""

    def __init__(self, folder: Path, saved: Path) -> None:
        self.folder, self.saved = folder, saved

    def register(self, model: str, kind: str) -> registry.RegisteredVersion:
        """Register one of the tiny models, b0 to b4."""
        content = digest(self.saved / kind)
        with tracking.run(model) as active:
            run_id = active.info.run_id
        tags = {"task": "cartoon_or_photo", "labels": json.dumps(["cartoon", "photo"])}
        return registry.register(model, run_id, self.saved / kind, content, tags)[0]

    def start(self, *words: object, kill_at: int | None = None, log: str = "log") -> BaseProcess:
        """Run `celflow WORDS`; kill_at: which of its writes does not happen, kill -9 instead."""
        arguments = [str(word) for word in words]
        mlflow = os.environ.get("MLFLOW_TRACKING_URI")
        process = CONTEXT.Process(
            target=celflow,
            args=(str(self.folder), arguments, str(self.folder / log), kill_at, mlflow),
        )
        process.start()
        return process

    def run(self, *words: object, kill_at: int | None = None) -> tuple[int, str]:
        """Run it to its end: exit code and all that it printed."""
        process = self.start(*words, kill_at=kill_at)
        process.join(120)
        assert process.exitcode is not None, "it hangs"
        return process.exitcode, (self.folder / "log").read_text()
