"""Cel shading: a flat picture in the few colours of a palette, with contours of ink.

TensorFlow's ops, so that it is part of the served graph. All of it is the same, mirrored or turned,
for a mirrored or turned picture. Pictures are float32 [H, W, 3] from 0 to 1.
"""

import numpy as np
import tensorflow as tf

from stages.models.cartoonizer.flattening import LUMINANCE

# Luminance and two differences of colour (YCbCr), these a little larger: a change of hue counts.
TO_OPPONENT = np.array([LUMINANCE, (-0.27, -0.53, 0.8), (0.8, -0.67, -0.13)], np.float32).T
FROM_OPPONENT = np.linalg.inv(TO_OPPONENT)
LEVELS = 32  # a channel's, of the histogram that colours are chosen from
RARE = 0.4  # exponent of how often a colour is there: below 1, so that lips and eyes have theirs
ROUNDS = 6  # of k-means
CERTAIN = 0.003  # squared distance from a colour of the palette that costs a pixel 1,
AGREEMENT = 12.0  # and what it gains where all neighbours have this colour
AGREEMENTS = 3  # times that neighbours are asked
WIDER = 1.6  # of the outer Gaussian of the contours (Winnemoeller et al. 2012, section 2.2)
FAINTEST = 0.012  # contrast from which a border has a contour
STEEP = 40.0  # how fast ink gets dark from there
INK = 0.8  # share of the light that full ink takes
CROWD = 6.0  # times sigma: where it is counted how much ink there is,
BUSY, FULL = 0.15, 0.35  # shares of ink from which it pales, and at which none is left


def palette(picture: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """float32 [count, 3], opponent: the colours that a picture is drawn in.

    K-means (Lloyd 1982) on the histogram, begun with the commonest colour and then, again and
    again, with what is furthest from those taken; no order of pixels plays a part.
    """
    level = tf.cast(tf.round(tf.reshape(picture, [-1, 3]) * (LEVELS - 1)), tf.int32)
    code = tf.linalg.matvec(level, [LEVELS**2, LEVELS, 1])
    often = tf.cast(tf.math.bincount(code, minlength=LEVELS**3), tf.float32)
    used = tf.cast(tf.where(often > 0)[:, 0], tf.int32)
    weight = tf.gather(often, used) ** RARE
    levels = tf.stack([used // LEVELS**2, used // LEVELS % LEVELS, used % LEVELS], axis=1)
    colours = tf.cast(levels, tf.float32) / (LEVELS - 1) @ TO_OPPONENT
    first = tf.gather(colours, [tf.argmax(weight)])

    def further(chosen: tf.Tensor, near: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        new = tf.gather(colours, [tf.argmax(weight * near)])
        near = tf.minimum(near, tf.reduce_sum((colours - new) ** 2, axis=-1))
        return tf.concat([chosen, new], axis=0), near

    chosen, _ = tf.while_loop(
        lambda chosen, near: tf.shape(chosen)[0] < count,
        further,
        (first, tf.reduce_sum((colours - first) ** 2, axis=-1)),
        shape_invariants=(tf.TensorShape([None, 3]), tf.TensorShape([None])),
    )
    for _ in range(ROUNDS):
        nearest = tf.argmin(_distances(colours, chosen), axis=-1)
        sums = tf.math.unsorted_segment_sum(colours * weight[:, None], nearest, count)
        weights = tf.math.unsorted_segment_sum(weight, nearest, count)[:, None]
        chosen = tf.where(weights > 0, sums / tf.maximum(weights, 1e-6), chosen)
    return chosen


def regions(picture: tf.Tensor, colours: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """float32 [H, W, K], 0 or 1: the colour of the palette that each pixel has.

    As like the picture's as may be, and as that of the pixels around it: mean field of a random
    field that favours neighbours of one colour (Kraehenbuehl and Koltun 2011, algorithm 1).

    sigma: px, of the Gaussian that neighbours are weighed by.
    """
    unlike = _distances(picture @ TO_OPPONENT, colours) / CERTAIN
    shares = tf.nn.softmax(-unlike)
    for _ in range(AGREEMENTS):
        shares = tf.nn.softmax(AGREEMENT * blurred(shares, sigma) - unlike)
    return tf.one_hot(tf.argmax(shares, axis=-1), tf.shape(colours)[0])


def painted(shares: tf.Tensor, colours: tf.Tensor) -> tf.Tensor:
    """The picture of shares, [H, W, K], of a palette's colours."""
    return tf.clip_by_value(shares @ (colours @ FROM_OPPONENT), 0.0, 1.0)


def contours(picture: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """float32 [H, W, 1]: above 0 on the darker side of borders, where `ink` is.

    A difference of Gaussians, against the light around it (XDoG, Winnemoeller et al. 2012, section
    2.2): isotropic. Where there would be more ink than paper, as on grass, it is left out.
    """
    light = picture @ np.array(LUMINANCE, np.float32)[:, None]
    around = blurred(light, WIDER * sigma)
    darker = (around - blurred(light, sigma)) / (around + 0.1) - FAINTEST
    crowd = blurred(ink(darker), CROWD * sigma)
    return darker * tf.clip_by_value((FULL - crowd) / (FULL - BUSY), 0.0, 1.0)


def ink(darker: tf.Tensor) -> tf.Tensor:
    """0 to 1, of `contours`: cut off softly (the same, eq. 5)."""
    return tf.tanh(STEEP * tf.nn.relu(darker))


def inked(picture: tf.Tensor, ink: tf.Tensor) -> tf.Tensor:
    """A picture under ink, [H, W, 1]."""
    return picture * (1 - INK * ink)


def sharpened(shares: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Shares that were made larger by `scale`, with borders about a pixel wide again."""
    steep = (shares + 1e-6) ** (2 * scale)
    return steep / tf.reduce_sum(steep, axis=-1, keepdims=True)


def blurred(x: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """float32 [H, W, C] under a Gaussian of `sigma` px; at its edges the picture is mirrored."""
    radius = tf.minimum(
        tf.cast(tf.math.ceil(2.5 * sigma), tf.int32), tf.reduce_min(tf.shape(x)[:2])
    )
    steps = tf.cast(tf.range(-radius, radius + 1), tf.float32)
    bell = tf.exp(-(steps**2) / (2 * sigma**2))
    bell = tf.tile((bell / tf.reduce_sum(bell))[:, None, None, None], [1, 1, tf.shape(x)[2], 1])
    x = tf.pad(x, [[radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")[None]
    for kernel in (bell, tf.transpose(bell, [1, 0, 2, 3])):
        x = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")
    return x[0]


def _distances(x: tf.Tensor, colours: tf.Tensor) -> tf.Tensor:
    """Squared, [..., K] of [..., 3] and [K, 3]."""
    squares = tf.reduce_sum(x**2, axis=-1, keepdims=True) + tf.reduce_sum(colours**2, axis=-1)
    return squares - 2 * tf.matmul(x, colours, transpose_b=True)
