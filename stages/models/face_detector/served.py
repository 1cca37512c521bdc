"""The face detector as a SavedModel: pictures in, boxes out."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from stages.models.common.image_ops import decode, map_images
from stages.models.common.keras_files import variables
from stages.models.face_detector.config import FaceDetectorConfig
from stages.models.face_detector.graph import MOST, find


class ServedFaceDetector(tf.Module):
    """A served face detector.

    It answers `boxes` (float32 [N, 100, 4]: left, top, width, height in pixels of the picture, the
    surest first), `scores` (float32 [N, 100], 0 to 1) and `count` (int32 [N]): rows from `count` on
    are zeros.
    """

    def __init__(self, network: keras.Model, config: FaceDetectorConfig) -> None:
        super().__init__()
        self.state = variables(network)
        self._network, self._config = network, config

    def save(self, folder: Path) -> None:
        """Write the SavedModel."""
        inputs = {
            "serving_default": tf.TensorSpec([None], tf.string, "image_bytes"),
            "pixels": tf.TensorSpec([None, None, None, 3], tf.uint8, "pixels"),
        }
        signatures = {name: self._signature(spec) for name, spec in inputs.items()}
        tf.saved_model.save(self, str(folder), signatures=signatures)

    def _signature(self, spec: tf.TensorSpec) -> Any:
        def one(picture: tf.Tensor) -> tf.Tensor:
            """float32 [100, 5]: box and score in a row."""
            image = decode(picture) if spec.dtype == tf.string else picture
            whole = tf.debugging.Assert(
                tf.reduce_all(tf.shape(image)[:2] > 0), [f"{spec.name}: a picture is empty"]
            )
            with tf.control_dependencies([whole]):
                found = find(tf.identity(image), self._network, self._config)
            rows = tf.concat([found.boxes, found.scores[:, None]], 1)
            return tf.ensure_shape(tf.pad(rows, [[0, MOST - tf.shape(rows)[0]], [0, 0]]), [MOST, 5])

        @tf.function(input_signature=[spec])
        def answer(batch: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = map_images(batch, one, spec.name)
            scores = rows[..., 4]
            count = tf.reduce_sum(tf.cast(scores > 0, tf.int32), axis=1)
            return {"boxes": rows[..., :4], "scores": scores, "count": count}

        return answer
