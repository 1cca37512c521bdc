"""The cartoonizer as it is served: a photo of any size to its drawing, in TensorFlow's ops."""

from collections.abc import Callable

import keras
import tensorflow as tf

from stages.models.cartoonizer import cel
from stages.models.cartoonizer.flattening import GAMMA, LIGHT, lightened, luminance
from stages.models.cartoonizer.networks import STRIDE

AREA = 512 * 1024  # px, that larger pictures are drawn in; more has no more to say
LEAST = 16  # px, of a side
COLOURS, FEWEST = 16, 8  # of the palette, without abstraction and with all of it
NEAR, LINE = 1.2, 0.8  # px in 256 x 256, of Gaussians: of neighbours, of contours
SOFT = 0.5  # px, of the edges of regions
CLOSER = 0.5  # share of each side that all of the abstraction takes from what is drawn in
STRIP = 128 * 1024  # px that are brought to full size at a time


def drawing_of(
    image: tf.Tensor, model: keras.Model, strength: float = 1.0, abstraction: float = 0.0
) -> tf.Tensor:
    """The drawing of a photo, both uint8 [H, W, 3]; styles from 0 to 1, as
    `Cartoonizer.export` has them.
    """
    strength, abstraction = tf.convert_to_tensor(strength), tf.convert_to_tensor(abstraction)
    full = tf.shape(image)[:2]
    size = _working_size(tf.cast(full, tf.float32), abstraction)
    photo = tf.image.resize(image, size, antialias=True) / 255.0
    light = tf.reduce_mean(luminance(photo))
    gamma = tf.math.log(LIGHT) / tf.math.log(tf.clip_by_value(light, 0.05, 0.95))
    lit = tf.clip_by_value(lightened(photo, tf.clip_by_value(gamma, *GAMMA)), 0.0, 1.0)
    flat = tf.clip_by_value((model((lit * 2 - 1)[None], training=False)[0] + 1) / 2, 0.0, 1.0)

    # Contours and the least region grow with the picture, though not as fast.
    sigma = (tf.cast(tf.reduce_prod(size), tf.float32) / 256**2) ** 0.25
    count = COLOURS - tf.cast(tf.round(abstraction * (COLOURS - FEWEST)), tf.int32)
    colours = cel.palette(flat, count)
    shares = cel.blurred(cel.regions(flat, colours, NEAR * sigma), tf.constant(SOFT))
    contours = cel.contours(cel.painted(shares, colours), LINE * sigma)
    scale = tf.sqrt(tf.reduce_prod(tf.cast(full / size, tf.float32)))

    def strip(rows: tf.Tensor) -> tf.Tensor:
        part = _enlarged(tf.concat([shares, contours], axis=-1), rows, full)
        crisp = cel.sharpened(part[..., :-1], tf.maximum(scale, 0.5))
        drawn = cel.inked(cel.painted(crisp, colours), cel.ink(part[..., -1:]))
        photo = tf.cast(tf.gather(image, rows), tf.float32)
        drawn = photo + strength * (drawn * 255.0 - photo)
        return tf.cast(tf.round(tf.clip_by_value(drawn, 0.0, 255.0)), tf.uint8)

    return _in_strips(strip, full)


def _working_size(full: tf.Tensor, abstraction: tf.Tensor) -> tf.Tensor:
    """int32 [2]: sides that a picture is drawn in, multiples of the network's stride."""
    scale = tf.minimum(1.0, tf.sqrt(AREA / tf.reduce_prod(full))) * (1 - CLOSER * abstraction)
    return STRIDE * tf.cast(tf.round(tf.maximum(full * scale, LEAST) / STRIDE), tf.int32)


def _enlarged(x: tf.Tensor, rows: tf.Tensor, full: tf.Tensor) -> tf.Tensor:
    """Some rows of [h, w, C], brought to the full size, bilinear: [R, W, C]."""
    for axis, wanted in ((0, rows), (1, tf.range(full[1]))):
        have = tf.shape(x)[axis]
        ratio = tf.cast(have, tf.float32) / tf.cast(full[axis], tf.float32)
        place = (tf.cast(wanted, tf.float32) + 0.5) * ratio - 0.5
        low = tf.floor(place)
        share = tf.reshape(place - low, [-1, 1, 1] if axis == 0 else [1, -1, 1])
        first, second = (tf.clip_by_value(tf.cast(low, tf.int32) + i, 0, have - 1) for i in (0, 1))
        x = tf.gather(x, first, axis=axis) * (1 - share) + tf.gather(x, second, axis=axis) * share
    return x


def _in_strips(strip: Callable[[tf.Tensor], tf.Tensor], full: tf.Tensor) -> tf.Tensor:
    """uint8 [H, W, 3] of what `strip` makes of rows; memory does not grow with the picture."""
    high = tf.maximum(STRIP // full[1], 1)
    strips = tf.map_fn(
        lambda number: strip(tf.minimum(number * high + tf.range(high), full[0] - 1)),
        tf.range(-(-full[0] // high)),
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
    )
    return tf.reshape(strips, [-1, full[1], 3])[: full[0]]
