"""The loss of sketchify: a mean difference, and what that alone loses."""

from typing import Any

import keras
import tensorflow as tf

SSIM_WINDOW = 7  # px, as of `metrics.image_quality`
ALMOST_NOTHING = 1e-3  # of squared differences: 30 dB; nearer, a picture has no weight


@keras.saving.register_keras_serializable("celflow")
class SketchLoss(keras.losses.Loss):
    """Mean absolute difference, and what it alone loses: fine dark shapes such as eyes.

    L1 + psnr_weight * log(1 + L2 / 0.001) + edge_weight * L1 of the differences of neighbouring
    pixels + ssim_weight * (1 - SSIM), of [N, H, W, 1], 0 to 1. L1 alone asks for the median, which
    for most places is white; squares ask for the mean, and their logarithm (as in PSNR) counts
    pale and dark pictures alike: a binary does not tell how dark its lines were. SSIM (Wang et
    al. 2004, eq. 13) has windows of 7 x 7.
    """

    def __init__(
        self, psnr_weight: float, edge_weight: float, ssim_weight: float, **options: Any
    ) -> None:
        super().__init__(**options)
        self.psnr_weight = psnr_weight
        self.edge_weight = edge_weight
        self.ssim_weight = ssim_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """[N], one loss a picture."""
        apart = y_pred - y_true
        down, right = apart[:, 1:] - apart[:, :-1], apart[:, :, 1:] - apart[:, :, :-1]
        return (
            _mean(tf.abs(apart))
            + self.psnr_weight * tf.math.log1p(_mean(apart * apart) / ALMOST_NOTHING)
            + self.edge_weight * (_mean(tf.abs(down)) + _mean(tf.abs(right)))
            + self.ssim_weight * (1 - _ssim(y_true, y_pred))
        )

    def get_config(self) -> dict[str, Any]:
        """What `load_model` needs to make it again."""
        own = {name: getattr(self, name) for name in ("psnr_weight", "edge_weight", "ssim_weight")}
        return {**super().get_config(), **own}


def _mean(pixels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(pixels, axis=[1, 2, 3])


def _ssim(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """[N]: structural similarity of [N, H, W, 1], 0 to 1, in windows that lie whole inside."""
    moments = tf.concat([a, b, a * a, b * b, a * b], axis=-1)
    means = tf.nn.avg_pool2d(moments, SSIM_WINDOW, 1, "VALID")
    mean_a, mean_b, square_a, square_b, product = tf.split(means, 5, axis=-1)
    both, apart = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = product - both
    variances = square_a + square_b - apart
    c1, c2 = 0.01**2, 0.03**2
    return _mean((2 * both + c1) * (2 * covariance + c2) / ((apart + c1) * (variances + c2)))
