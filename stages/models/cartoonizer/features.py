"""A frozen network that tells how alike two pictures are, and how alike two sets of them."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from celflow.errors import UserError

LAYERS = {"vgg19": "block4_conv4", "inception_v3": "mixed2"}
DEPTHS = {  # from lines to things; kernel distances go by the last
    "vgg19": ("block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4"),
    "inception_v3": ("mixed2", "mixed4", "mixed7", "mixed10"),
}


class Features:
    """Features of pictures, float [N, H, W, 3] from -1 to 1, of any size from 75 px.

    which: `vgg19` (ImageNet's weights, fetched), the path of Inception-v3's weights without top, or
    `none`: then pixels and gradients stand for features.

    Raises:
        UserError: the weights can't be had.
    """

    def __init__(self, which: str) -> None:
        self._network: keras.Model | None = None
        self.name = "pixels and gradients"
        if which == "none":
            return
        self.name = "vgg19" if which == "vgg19" else "inception_v3"
        try:
            if which == "vgg19":
                whole = keras.applications.VGG19(include_top=False)
            else:
                whole = keras.applications.InceptionV3(include_top=False, weights=which)
        except Exception as error:  # Keras raises what HDF5, the network or its own checks raise
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"cartoonizer.features '{which}': {reason}") from None
        depths = [whole.get_layer(depth).output for depth in DEPTHS[self.name]]
        self._network = keras.Model(whole.input, depths)
        self._content_network = keras.Model(whole.input, whole.get_layer(LAYERS[self.name]).output)
        self._network.trainable = False

    def content_features(self, x: Any) -> Any:
        """[N, h, w, C]: what is where (section 3.4's content and section 3.2's structure)."""
        if self._network is None:
            return gradients(x)
        return self._content_network(self._door(x), training=False)

    def style_features(self, x: Any) -> list[Any]:
        """[N, D] at each depth: the style of pictures [N, H, W, 3], whatever is where in them."""
        if self._network is None:
            scales = [
                gradients(ops.average_pool(x, 2 * radius + 1, strides=1, padding="same"))
                for radius in (0, 1, 3)
            ]
            means = [ops.mean(one, axis=[1, 2]) for one in scales]
            spreads = [ops.sqrt(ops.var(one, axis=[1, 2]) + 1e-6) for one in scales]
            return [ops.concatenate([*means, *spreads], axis=-1)]
        return [ops.mean(one, axis=[1, 2]) for one in self._network(self._door(x), training=False)]

    def style_features_of(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        """float32 [N, D] at each depth, of uint8 pictures [H, W, 3], each of any size."""
        depths = [self._style_features(one[None]) for one in pictures]
        return [np.concatenate(depth) for depth in zip(*depths, strict=True)]

    def pooled(self, pictures: list[np.ndarray]) -> np.ndarray:
        """float32 [N, D]: the same at the last depth."""
        return self.style_features_of(pictures)[-1]

    def distance(self, ours: np.ndarray, photo: np.ndarray) -> float:
        """Mean absolute difference of two uint8 pictures' content features: content distance."""
        a, b = (
            self.content_features(tf.cast(p[None], tf.float32) / 127.5 - 1) for p in (ours, photo)
        )
        return float(ops.mean(ops.abs(a - b)))

    @tf.function(reduce_retracing=True)
    def _style_features(self, pixels: tf.Tensor) -> list[tf.Tensor]:
        return self.style_features(tf.cast(pixels, tf.float32) / 127.5 - 1)

    def _door(self, x: Any) -> Any:
        """As the network wants its pictures."""
        if self.name == "vgg19":  # BGR around ImageNet's means
            return (x[..., ::-1] + 1) * 127.5 - ops.convert_to_tensor([103.939, 116.779, 123.68])
        return x


def gradients(x: Any) -> Any:
    """[N, H, W, 3 C]: the pixels, and their differences to right and below."""
    right = ops.pad(x[:, :, 1:] - x[:, :, :-1], [[0, 0], [0, 0], [0, 1], [0, 0]])
    below = ops.pad(x[:, 1:] - x[:, :-1], [[0, 0], [0, 1], [0, 0], [0, 0]])
    return ops.concatenate([x, right, below], axis=-1)


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Kernel inception distance of two sets of pooled features, [N, D] and [M, D].

    Squared maximum mean discrepancy under the cubic kernel (x . y / D + 1)^3, the unbiased
    estimate (Binkowski et al. 2018, eq. 4); may be a little under 0 for sets of one kind.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    within = sum(
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(x, x), kernel(y, y))
    )
    return float(within - 2 * kernel(x, y).mean())
