"""The part of every SavedModel that is the same: bytes in, scores and names out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from stages.models.calibration import CLOSEST, UNSURE, Calibration

if TYPE_CHECKING:  # half of the models served are no networks
    import keras

MARKS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")  # what pictures begin with
AT_A_TIME = 16  # pictures of a batch; more cores than that stay idle


def decode(data: tf.Tensor) -> tf.Tensor:
    """uint8 [H, W, 3] of JPEG, PNG, BMP or GIF (frame one) bytes, a string scalar.

    The same pixels as of `celflow.images`, but for a BMP's palette, which TensorFlow passes over;
    `decode_image` has half of a JPEG's values a little off.
    """
    image = tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    return image


def resize(image: tf.Tensor, side: int) -> tf.Tensor:
    """uint8 [side, side, 3] of uint8 [H, W, 3]: stretched, antialiased, bilinear."""
    small = tf.image.resize(image, [side, side], method="bilinear", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(small, 0.0, 255.0)), tf.uint8)


def each_image(
    inputs: tf.Tensor, per_image: Callable[[tf.Tensor], tf.Tensor], name: str
) -> tf.Tensor:
    """`per_image` of every row of `inputs`, stacked, on all cores.

    Raises:
        InvalidArgumentError: names every row of strings that is no picture; of one that begins like
            a picture and breaks off, only says so.
    """
    checks = []
    if inputs.dtype == tf.string:
        begins = [tf.strings.substr(inputs, 0, len(mark)) == mark for mark in MARKS]
        others = tf.where(~tf.reduce_any(tf.stack(begins), axis=0))[:, 0]
        text = tf.strings.reduce_join(tf.strings.as_string(others), separator=", ")
        message = tf.strings.join(
            [f"{name}: no JPEG, PNG, BMP or GIF at position ", text, " of the batch"]
        )
        checks = [tf.debugging.Assert(tf.equal(tf.size(others), 0), [message])]
    with tf.control_dependencies(checks):
        rows = tf.identity(inputs)
    row = tf.TensorSpec(inputs.shape[1:], inputs.dtype)
    traced = tf.function(per_image).get_concrete_function(row)
    one = traced.structured_outputs
    spec = tf.TensorSpec(one.shape, one.dtype)  # an empty batch must know it, too
    return tf.map_fn(traced, rows, fn_output_signature=spec, parallel_iterations=AT_A_TIME)


def variables(model: "keras.Model") -> list[tf.Variable]:
    """What a SavedModel must hold of a Keras model; all of it would bring graphs of its own."""
    return [weight.value for weight in model.weights]  # without the seeds of dropout


class Classifier(tf.Module):
    """A served classifier.

    labels: names of the classes; `scores` come in this order, in every row.
    per_image: uint8 [H, W, 3] to whatever `head` takes a batch of.
    head: [N, ...] to float32 [N, C], rows adding up to 1.
    state: the variables that `head` uses, so that they are saved too.

    It answers `scores` (float32 [N, C]), `classes` (string [N, C]) and `verdict` (string [N]): the
    best name, or "unsure" between the thresholds of `calibration`, which is set before saving.
    """

    def __init__(
        self,
        labels: list[str],
        per_image: Callable[[tf.Tensor], tf.Tensor],
        head: Callable[[tf.Tensor], tf.Tensor],
        state: list[tf.Variable] | None = None,
    ) -> None:
        super().__init__()
        self.state = state
        self._labels = tf.constant(labels)
        self._per_image = per_image
        # One graph for both signatures; as an attribute it would be saved once more.
        shared = tf.function(head)
        self._head = lambda batch: shared(batch)
        self.calibration = Calibration()

    def _answer(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.cast(self._head(batch), tf.float32)
        if self.calibration != Calibration():
            logits = tf.math.log(tf.clip_by_value(scores, CLOSEST, 1.0))
            bias = tf.one_hot(0, tf.shape(scores)[1]) * self.calibration.bias
            scores = tf.nn.softmax(logits / self.calibration.temperature + bias)
        classes = tf.tile(self._labels[None], [tf.shape(scores)[0], 1])
        best = tf.gather(self._labels, tf.argmax(scores, axis=1))
        verdict = tf.where(self.calibration.sure(scores), best, UNSURE)
        return {"scores": scores, "classes": classes, "verdict": verdict}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def from_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of encoded pictures, string [N]."""
        batch = each_image(image_bytes, lambda d: self._per_image(decode(d)), "image_bytes")
        return self._answer(batch)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "pixels")])
    def from_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of decoded pictures, uint8 [N, H, W, 3]."""
        return self._answer(each_image(pixels, self._per_image, "pixels"))

    def save(self, folder: Path) -> None:
        """Write the SavedModel with its signatures `serving_default` and `pixels`."""
        tf.saved_model.save(
            self,
            str(folder),
            signatures={"serving_default": self.from_bytes, "pixels": self.from_pixels},
        )
