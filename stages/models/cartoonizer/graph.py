"""The cartoonizer as it is served: a photo of any size to its drawing, in TensorFlow's ops."""

import keras
import tensorflow as tf

from stages.models.cartoonizer.networks import REACH, STRIDE, refined, surface
from stages.models.common.served_image_model import tiled


def drawing_of(
    image: tf.Tensor, model: keras.Model, sharpness: float = 0.5, abstraction: float = 0.0
) -> tf.Tensor:
    """The drawing of a photo, both uint8 [H, W, 3]; styles from 0 to 1, as
    `Cartoonizer.export` has them.
    """
    epsilon = 5e-3 * 10.0 ** (2 - 4 * sharpness)

    def paint(pixels: tf.Tensor) -> tf.Tensor:
        x = pixels / 127.5 - 1
        x = tf.cond(  # the surface takes as long as the network
            tf.convert_to_tensor(abstraction) > 0,
            lambda: (1 - abstraction) * x + abstraction * surface(x),
            lambda: x,
        )
        return (refined(x, model(x, training=False), epsilon) + 1) * 127.5

    return tiled(image, paint, STRIDE, REACH)
