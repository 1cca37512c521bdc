"""The part of every SavedModel that is the same: bytes in, scores and names out."""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf


def decode(data: tf.Tensor) -> tf.Tensor:
    """uint8 [H, W, 3] of JPEG, PNG, BMP or GIF (frame one) bytes, a string scalar."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image


def resize(image: tf.Tensor, side: int) -> tf.Tensor:
    """uint8 [side, side, 3] of uint8 [H, W, 3]: stretched, antialiased, bilinear."""
    small = tf.image.resize(image, [side, side], method="bilinear", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(small, 0.0, 255.0)), tf.uint8)


def resize_as_opencv(image: tf.Tensor, side: int) -> tf.Tensor:
    """uint8 [side, side, 3] of uint8 [H, W, 3], as `cv2.resize` has it (bilinear, no antialias).

    OpenCV counts in whole numbers, with weights of 11 bits and cut-off products (resize.cpp,
    VResizeLinear); exact bilinear values have fewer different colours. Shrinking by exactly two,
    where OpenCV takes means, is the exception.
    """
    shape = tf.shape(image)
    rows, row_weights = _linear_taps(shape[0], side)
    columns, column_weights = _linear_taps(shape[1], side)
    pixels = tf.cast(image, tf.int32)
    wide = sum(
        tf.gather(pixels, columns[i], axis=1) * column_weights[i][None, :, None] for i in (0, 1)
    )
    tall = sum(
        (tf.gather(wide // 16, rows[i], axis=0) * row_weights[i][:, None, None]) // 65536
        for i in (0, 1)
    )
    return tf.cast(tf.clip_by_value((tall + 2) // 4, 0, 255), tf.uint8)


def _linear_taps(size: tf.Tensor, side: int) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The two neighbours of each new place along an axis, and their weights in 2048ths."""
    scale = tf.cast(size, tf.float64) / side
    place = tf.cast((tf.range(side, dtype=tf.float64) + 0.5) * scale - 0.5, tf.float32)
    first = tf.cast(tf.floor(place), tf.int32)
    share = place - tf.floor(place)
    share = tf.where((first < 0) | (first >= size - 1), 0.0, share)
    first = tf.clip_by_value(first, 0, size - 1)
    second = tf.minimum(first + 1, size - 1)
    weights = [tf.cast(tf.round(part * 2048), tf.int32) for part in (1 - share, share)]
    return [first, second], weights


def each_image(
    inputs: tf.Tensor, per_image: Callable[[tf.Tensor], tf.Tensor], name: str
) -> tf.Tensor:
    """`per_image` of every row of `inputs`, stacked, on all cores.

    Raises:
        InvalidArgumentError: names every row for which `per_image` failed. A tf.data pipeline can
            drop failed rows; the numbers that are left tell which those were.
    """
    count = tf.shape(inputs, out_type=tf.int64)[0]
    numbered = tf.data.Dataset.from_tensor_slices(inputs).enumerate()
    results = numbered.map(
        lambda number, row: (number, per_image(row)), num_parallel_calls=tf.data.AUTOTUNE
    ).ignore_errors()
    spec = results.element_spec[1]
    # A last row that never fails, so that there is a batch even if all others do.
    filler = (tf.constant(-1, tf.int64), tf.zeros(spec.shape, spec.dtype))
    results = results.concatenate(tf.data.Dataset.from_tensors(filler))
    numbers, rows = results.batch(count + 1).get_single_element()
    failed = tf.sets.difference(tf.range(count)[None], numbers[None, :-1]).values
    text = tf.strings.reduce_join(tf.strings.as_string(failed), separator=", ")
    message = tf.strings.join(
        [f"{name}: no readable JPEG, PNG, BMP or GIF at position ", text, " of the batch"]
    )
    check = tf.debugging.Assert(tf.equal(tf.size(failed), 0), [message])
    with tf.control_dependencies([check]):
        return tf.identity(rows[:-1])


class Classifier(tf.Module):
    """A served classifier.

    labels: names of the classes; `scores` come in this order, in every row.
    per_image: uint8 [H, W, 3] to whatever `head` takes a batch of.
    head: [N, ...] to float32 [N, C], rows adding up to 1.
    state: the Keras model or variables that `head` uses, so that they are saved too.
    """

    def __init__(
        self,
        labels: list[str],
        per_image: Callable[[tf.Tensor], tf.Tensor],
        head: Callable[[tf.Tensor], tf.Tensor],
        state: object = None,
    ) -> None:
        super().__init__()
        self.state = state
        self._labels = tf.constant(labels)
        self._per_image = per_image
        self._head = head

    def _answer(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.cast(self._head(batch), tf.float32)
        classes = tf.tile(self._labels[None], [tf.shape(scores)[0], 1])
        return {"scores": scores, "classes": classes}

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
