"""Sketchify as it is served: a picture of any size to its sketch, in TensorFlow's ops."""

import keras
import tensorflow as tf

from stages.models.common import opencv_ops
from stages.models.common.served_image_model import tiled
from stages.models.sketchify import unet
from stages.models.sketchify.pairs import binarize_graph

MARGIN = 128  # px that one place of a sketch depends on, at most, to each side


def sketch_of(image: tf.Tensor, model: keras.Model) -> tf.Tensor:
    """The sketch of a drawing, both uint8 [H, W, 3] of any size."""

    def paint(binary: tf.Tensor) -> tf.Tensor:
        return tf.tile(255 * model(binary[..., :1] / 255, training=False), [1, 1, 1, 3])

    binary = tf.tile(prepare(image)[..., None], [1, 1, 3])
    return tiled(binary, paint, unet.MULTIPLE, MARGIN)


def prepare(image: tf.Tensor) -> tf.Tensor:
    """The binary, uint8 [H, W], of a picture, uint8 [H, W, 3].

    A picture that has all but 1 % of its pixels within 16 of black or white is taken for a finished
    binary, which a second threshold would hollow out.
    """
    grey = opencv_ops.grey(image)
    extreme = tf.cast((grey <= 16) | (grey >= 239), tf.float32)
    return tf.cond(
        tf.reduce_mean(extreme) >= 0.99,
        lambda: tf.where(grey < 128, tf.constant(0, tf.uint8), tf.constant(255, tf.uint8)),
        lambda: binarize_graph(grey),
    )
