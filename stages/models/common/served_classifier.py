"""A classifier as a SavedModel: bytes in, scores and names out."""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from celflow.metrics import UNSURE
from stages.models.common.calibration import SCORE_MARGIN, Calibration
from stages.models.common.image_ops import decode, map_images

ONE_COLOUR = 8  # levels that each channel may differ by, as in a JPEG of one colour


class ServedClassifier(tf.Module):
    """A served classifier.

    Args:
        labels: names of the classes; `scores` come in this order, in every row.
        per_image: uint8 [H, W, 3] to whatever `head` takes a batch of.
        head: [N, ...] to float32 [N, C], rows adding up to 1.
        state: the variables that `head` uses, so that they are saved too.
        calibration: how what `head` answers becomes scores and a verdict.

    It answers `scores` (float32 [N, C]), `classes` (string [N, C]) and `verdict` (string [N]): the
    best name, or "unsure" between the thresholds of `calibration`. Where that has thresholds, and
    `per_image` gives pixels, a picture of one colour is "unsure", all scores alike: there is
    nothing in it to go by, whatever a network makes of it.
    """

    def __init__(
        self,
        labels: list[str],
        per_image: Callable[[tf.Tensor], tf.Tensor],
        head: Callable[[tf.Tensor], tf.Tensor],
        state: list[tf.Variable] | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self.state = state
        self._labels = tf.constant(labels)
        self._per_image = per_image
        # One graph for both signatures; as an attribute it would be saved once more.
        shared = tf.function(head)
        self._head = lambda batch: shared(batch)
        self._calibration = calibration or Calibration()

    def _answer(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.cast(self._head(batch), tf.float32)
        calibration = self._calibration
        if calibration != Calibration():
            logits = tf.math.log(tf.clip_by_value(scores, SCORE_MARGIN, 1.0))
            bias = tf.one_hot(0, tf.shape(scores)[1]) * calibration.bias
            scores = tf.nn.softmax(logits / calibration.temperature + bias)
        sure = calibration.sure(scores)
        if calibration.low < calibration.high and batch.dtype == tf.uint8:
            empty = _is_one_colour(batch)
            scores = tf.where(empty[:, None], 1 / len(self._labels), scores)
            sure &= ~empty
        classes = tf.tile(self._labels[None], [tf.shape(scores)[0], 1])
        best = tf.gather(self._labels, tf.argmax(scores, axis=1))
        verdict = tf.where(sure, best, UNSURE)
        return {"scores": scores, "classes": classes, "verdict": verdict}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def from_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of encoded pictures, string [N]."""
        batch = map_images(image_bytes, lambda d: self._per_image(decode(d)), "image_bytes")
        return self._answer(batch)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "pixels")])
    def from_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of decoded pictures, uint8 [N, H, W, 3]."""
        return self._answer(map_images(pixels, self._per_image, "pixels"))

    def save(self, folder: Path) -> None:
        """Write the SavedModel with its signatures `serving_default` and `pixels`."""
        tf.saved_model.save(
            self,
            str(folder),
            signatures={"serving_default": self.from_bytes, "pixels": self.from_pixels},
        )


def _is_one_colour(pixels: tf.Tensor) -> tf.Tensor:
    """bool [N] of uint8 [N, H, W, 3]."""
    spread = tf.reduce_max(pixels, [1, 2]) - tf.reduce_min(pixels, [1, 2])
    return tf.reduce_all(spread <= ONE_COLOUR, axis=1)
