"""Layers and loss of encodings on the unit sphere (CosFace: Wang et al. 2018, eq. 4)."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("celflow")
class UnitLength(layers.Layer):
    """Rows of length one."""

    def call(self, x: Any) -> Any:
        """[N, D] of [N, D]."""
        return ops.normalize(x, axis=-1)


@keras.saving.register_keras_serializable("celflow")
class Cosines(layers.Layer):
    """Softmax over `sharpness` times the cosines to a direction a class."""

    def __init__(self, classes: int, sharpness: float, **options: Any) -> None:
        super().__init__(**options)
        self.classes = classes
        self.sharpness = sharpness

    def build(self, shape: tuple[int, ...]) -> None:
        """One direction a class, [C, D]."""
        self.directions = self.add_weight(shape=(self.classes, shape[-1]), name="directions")

    def call(self, x: Any) -> Any:
        """Probabilities [N, C] of unit encodings [N, D]."""
        cosines = ops.matmul(x, ops.transpose(ops.normalize(self.directions, axis=-1)))
        return ops.softmax(self.sharpness * cosines)

    def get_config(self) -> dict[str, Any]:
        """What a saved model keeps."""
        return {**super().get_config(), "classes": self.classes, "sharpness": self.sharpness}


@keras.saving.register_keras_serializable("celflow")
class MarginLoss(keras.losses.Loss):
    """Cross-entropy after the true class's logit is lowered by `margin` (CosFace, eq. 4).

    Takes probabilities, as all our networks answer them: their logarithms are the logits but for a
    constant, which softmax does not see.
    """

    def __init__(self, margin: float, smoothing: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.margin = margin
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss [N] of one-hot truth and probabilities, both [N, C]."""
        logits = ops.log(y_pred + 1e-30) - self.margin * y_true
        return ops.categorical_crossentropy(
            y_true * (1 - self.smoothing) + self.smoothing / y_true.shape[-1],
            logits,
            from_logits=True,
        )

    def get_config(self) -> dict[str, Any]:
        """What a saved model keeps."""
        return {**super().get_config(), "margin": self.margin, "smoothing": self.smoothing}
