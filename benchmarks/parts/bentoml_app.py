"""A SavedModel behind BentoML, batched: MODEL=FOLDER bentoml serve bentoml_app:Classifier."""

import base64
import os

import bentoml  # type: ignore[import-not-found]
import tensorflow as tf


@bentoml.service(workers=1)
class Classifier:
    def __init__(self) -> None:
        self.model = tf.saved_model.load(os.environ["MODEL"])
        self.signature = self.model.signatures["serving_default"]

    @bentoml.api(batchable=True, max_batch_size=32)
    def classify(self, images: list[str]) -> list[list[float]]:
        files = tf.constant([base64.b64decode(image) for image in images])
        scores: list[list[float]] = self.signature(image_bytes=files)["scores"].numpy().tolist()
        return scores
