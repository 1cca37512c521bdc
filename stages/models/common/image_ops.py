"""What every SavedModel does first, and training too: bytes to pixels, by the same ops."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")  # what encoded pictures begin with
PARALLEL_IMAGES = 16  # pictures of a batch; more cores than that stay idle


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


def read_pixels(paths: list[str], side: int) -> np.ndarray:
    """uint8 [N, side, side, 3] of picture files, by the same ops as the served graph."""
    if not paths:
        return np.empty((0, side, side, 3), np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(
        lambda path: resize(decode(tf.io.read_file(path)), side),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return np.stack(list(dataset.as_numpy_iterator()))


def map_images(
    inputs: tf.Tensor, per_image: Callable[[tf.Tensor], tf.Tensor], name: str
) -> tf.Tensor:
    """`per_image` of every row of `inputs`, stacked, on all cores.

    Raises:
        InvalidArgumentError: names every row of strings that is no picture; of one that begins like
            a picture and breaks off, only says so.
    """
    checks = []
    if inputs.dtype == tf.string:
        begins = [tf.strings.substr(inputs, 0, len(start)) == start for start in SIGNATURES]
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
    return tf.map_fn(traced, rows, fn_output_signature=spec, parallel_iterations=PARALLEL_IMAGES)
