"""The face detector as a function of pictures, for stages that run before any model is trained."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stages.models.common import released_weights
from stages.models.face_detector import network
from stages.models.face_detector.config import FaceDetectorConfig
from stages.models.face_detector.graph import find

RELEASED = Path(__file__).parent / "released.npz"

# uint8 [H, W, 3] to float32 [K, 5]: left, top, width, height in pixels, and a score from 0 to 1
FaceFinder = Callable[[np.ndarray], np.ndarray]


def finder(model: keras.Model, config: FaceDetectorConfig) -> FaceFinder:
    """What `model` finds in uint8 [H, W, 3], the surest face first: one graph for every size."""
    picture = tf.TensorSpec([None, None, 3], tf.uint8)
    graph = tf.function(lambda image: find(image, model, config), input_signature=[picture])

    def faces(pixels: np.ndarray) -> np.ndarray:
        boxes, scores = graph(pixels)
        return np.column_stack([boxes, scores])

    return faces


@lru_cache(maxsize=4)
def load(config: FaceDetectorConfig, key: str) -> FaceFinder:
    """The detector with the weights that `config.init` names.

    key: of `init` in params.yaml, for errors.

    Raises:
        UserError: there is no such file, or it is of another network.
    """
    model = network.build()
    released_weights.load(model, config.init, RELEASED, key)
    return finder(model, config)
