"""SavedModels in a bare TensorFlow process; benchmarks/serving.py talks to it in lines of JSON.

{"do": "build", "kind": "half_plus", "folder": ...}   write a model
{"do": "load", "folders": [...]}                      load these too
{"do": "throughput", "folder": ..., "images": [BASE64, ...], "seconds": 5}
                                                      images/s in ready batches of 32
{"do": "latency", ...}                                median and p99 ms of a single image
"""

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import cycle, pairwise
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

BATCH = 32


class HalfPlusTwo(tf.Module):
    """y = x/2 + 2."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2 + 2}


class SmallClassifier(tf.Module):
    """A few convolutions over pictures, for where nothing was exported."""

    def __init__(self) -> None:
        super().__init__()
        random = tf.random.Generator.from_seed(0)
        widths = (3, 16, 32, 64)
        self.kernels = [
            tf.Variable(random.normal([3, 3, before, after]) / (9 * before) ** 0.5)
            for before, after in pairwise(widths)
        ]
        self.dense = tf.Variable(random.normal([widths[-1], 2]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def one(data: tf.Tensor) -> tf.Tensor:
            picture = tf.io.decode_image(data, channels=3, expand_animations=False)
            return tf.image.resize(tf.cast(picture, tf.float32) / 255, [96, 96])

        x = tf.map_fn(one, image_bytes, fn_output_signature=tf.TensorSpec([96, 96, 3], tf.float32))
        for kernel in self.kernels:
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))
        scores = tf.nn.softmax(tf.reduce_mean(x, [1, 2]) @ self.dense)
        classes = tf.tile(tf.constant([["drawing", "photo"]]), [tf.size(image_bytes), 1])
        return {"scores": scores, "classes": classes}


def build(kind: str, folder: str) -> None:
    model = {"half_plus": HalfPlusTwo, "small": SmallClassifier}[kind]()
    tf.saved_model.save(model, folder, {"serving_default": model.serve})


@cache
def load(folder: str) -> tuple[Any, Callable[..., Any]]:
    loaded = tf.saved_model.load(folder)
    return loaded, loaded.signatures["serving_default"]


def seconds_of_calls(folder: str, batches: list[Any], seconds: float) -> list[float]:
    """How long each call took, one after the other for some seconds; the first ones don't count."""
    _, signature = load(folder)
    turn = cycle(batches)

    def call() -> float:
        start = time.perf_counter()
        for output in signature(image_bytes=next(turn)).values():
            output.numpy()
        return time.perf_counter() - start

    for _ in range(3):
        call()
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < 5:
        taken.append(call())
    return taken


def answer(job: dict[str, Any]) -> dict[str, float]:
    if job["do"] == "build":
        build(job["kind"], job["folder"])
        return {}
    if job["do"] == "load":
        for folder in job["folders"]:
            load(folder)
        return {}
    images = [base64.b64decode(image) for image in job["images"]]
    if job["do"] == "latency":
        singles = [tf.constant([image]) for image in images]
        taken = seconds_of_calls(job["folder"], singles, job["seconds"])
        return {"p50": 1000 * float(np.median(taken)), "p99": 1000 * np.percentile(taken, 99)}
    files = cycle(images)
    batches = [tf.constant([next(files) for _ in range(BATCH)]) for _ in range(4)]
    taken = seconds_of_calls(job["folder"], batches, job["seconds"])
    return {"rate": BATCH * len(taken) / sum(taken)}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
