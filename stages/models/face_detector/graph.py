"""From a picture to the boxes of its faces, in TensorFlow's ops: what is served."""

from typing import NamedTuple

import keras
import tensorflow as tf

from stages.models.face_detector.config import FaceDetectorConfig
from stages.models.face_detector.network import MULTIPLE, STRIDE

MOST = 100  # boxes a picture
LARGEST_GROWTH = 2.0  # of a small picture
MOST_PIXELS = 6.0e6  # that the network looks at in one go; a strip of 800 x 20 000 px stays below
LARGE = 2.5  # times `short_side`: pictures whose short side is above get a closer look,
CLOSER = 3.0  # at so many times `short_side`,
CLOSER_PIXELS = 2.5e6  # but no more than this
FLATTEST = 12.0  # levels: less contrast than this (standard deviation) is not stretched further
OVERLAP = 0.4  # intersection over union from which two boxes are of one face


class Faces(NamedTuple):
    """Faces of a picture, the surest first.

    boxes: float32 [K, 4], left, top, width, height in pixels of the picture.
    scores: float32 [K], 0 to 1.
    """

    boxes: tf.Tensor
    scores: tf.Tensor


def find(image: tf.Tensor, network: keras.Model, config: FaceDetectorConfig) -> Faces:
    """The faces of uint8 [H, W, 3], at most `MOST`.

    The picture is scaled by its short side. A large one is looked at a second time, closer, since
    its small faces would vanish.
    """
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    short, area = tf.reduce_min(size), tf.reduce_prod(size)
    side = float(config.short_side)

    def look(scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _look(image, network, scale, config.threshold)

    first = tf.minimum(side / short, LARGEST_GROWTH)
    boxes, scores = look(tf.minimum(first, tf.sqrt(MOST_PIXELS / area)))
    closer = tf.minimum(CLOSER * side / short, tf.sqrt(CLOSER_PIXELS / area))
    more_boxes, more_scores = tf.cond(
        (short > LARGE * side) & (closer > 1.25 * first),
        lambda: look(tf.minimum(closer, 1.0)),
        lambda: (tf.zeros([0, 3]), tf.zeros([0])),
    )
    boxes, scores = tf.concat([boxes, more_boxes], 0), tf.concat([scores, more_scores], 0)
    return _clipped(*_one_a_face(boxes, scores), size)


def _look(
    image: tf.Tensor, network: keras.Model, scale: tf.Tensor, threshold: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Centres and sides, float32 [K, 3] in pixels of the picture, and scores, at a scale."""
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    target = tf.maximum(MULTIPLE * tf.cast(tf.round(size * scale / MULTIPLE), tf.int32), MULTIPLE)
    answer = network(standardised(scaled(image, target)), training=False)[0]
    heat = tf.sigmoid(answer[..., 0])
    highest = tf.nn.max_pool2d(heat[None, ..., None], 3, 1, "SAME")[0, ..., 0]
    cells = tf.where((heat >= highest) & (heat > threshold))
    scores = tf.gather_nd(heat, cells)
    found = tf.gather_nd(answer, cells)
    best = tf.argsort(scores, direction="DESCENDING")[: 4 * MOST]
    cells, scores, found = (tf.gather(part, best) for part in (cells, scores, found))
    factor = tf.cast(target, tf.float32) / size  # of height and width: nearly, not quite, alike
    centre = (tf.cast(cells, tf.float32) + 0.5 + tf.reverse(found[:, 2:4], [1])) * STRIDE / factor
    side = tf.exp(tf.minimum(found[:, 1], 6.0)) * STRIDE / tf.sqrt(tf.reduce_prod(factor))
    return tf.concat([tf.reverse(centre, [1]), side[:, None]], 1), scores


def scaled(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """float32 [1, h, w, 3] of uint8 [H, W, 3]: means of whole pixels first, then bilinear."""
    shrink = tf.reduce_min(tf.shape(image)[:2] // target)
    pixels = tf.cast(image, tf.float32)[None]

    def mean() -> tf.Tensor:
        rows, columns = (tf.shape(image)[i] // shrink for i in range(2))
        whole = pixels[:, : rows * shrink, : columns * shrink]
        across = tf.reduce_mean(
            tf.reshape(whole, [rows, shrink, columns * shrink, 3]), axis=1
        )  # two steps: each is a plain sum along one axis
        return tf.reduce_mean(tf.reshape(across, [1, rows, columns, shrink, 3]), axis=3)

    pixels = tf.cond(shrink > 1, mean, lambda: pixels)
    return tf.image.resize(pixels, target, method="bilinear")


def standardised(pixels: tf.Tensor) -> tf.Tensor:
    """The same with mean 0 and deviation 1, whatever the light: float32 [1, h, w, 3]."""
    mean, variance = tf.nn.moments(pixels, axes=[1, 2, 3], keepdims=True)
    return (pixels - mean) / tf.maximum(tf.sqrt(variance), FLATTEST)


def _one_a_face(boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The surest of the squares (centre, side) that lie on each other, at most `MOST`."""
    half = boxes[:, 2:] / 2
    centre = tf.reverse(boxes[:, :2], [1])
    corners = tf.concat([centre - half, centre + half], 1)
    kept = tf.image.non_max_suppression(corners, scores, MOST, OVERLAP)
    return tf.gather(boxes, kept), tf.gather(scores, kept)


def _clipped(boxes: tf.Tensor, scores: tf.Tensor, size: tf.Tensor) -> Faces:
    """Squares as left, top, width, height of what lies within the picture of `size` (h, w)."""
    limit = tf.reverse(size, [0])
    low = tf.clip_by_value(boxes[:, :2] - boxes[:, 2:] / 2, 0.0, limit - 1)
    high = tf.clip_by_value(boxes[:, :2] + boxes[:, 2:] / 2, low + 1, limit)
    return Faces(tf.concat([low, high - low], 1), scores)
