"""OpenCV's operations on 8-bit pictures in TensorFlow's ops, for graphs that any server runs.

A picture is float32 [3, H, W], its planes one after another, a plane float32 [H, W], and the values
are whole numbers from 0 to 255: TensorFlow is fastest on floats, and on whole rows.
"""

import cv2
import tensorflow as tf

STRIP = 16  # rows that `bilateral` works on at a time: what a core's cache takes
ALIGNED = 16  # floats; TensorFlow slices without copying where a slice begins at a multiple of it


def resize(image: tf.Tensor, side: int) -> tf.Tensor:
    """float32 [3, side, side] of uint8 [H, W, 3]: `cv2.resize`, INTER_LINEAR.

    OpenCV counts in whole numbers, with weights of 11 bits and cut-off products (resize.cpp,
    VResizeLinear); exact bilinear values have fewer different colours. A product of the second pass
    can have more bits than a float, so a value in 100 000 differs, by 1. Shrinking by exactly two,
    where OpenCV takes means, is the exception.
    """
    shape = tf.shape(image)
    columns, weights = _taps(shape[1], side, stop_at_border=True)
    # Columns are gathered as rows of the turned picture, while it is small.
    turned = tf.reshape(tf.transpose(image, [1, 2, 0]), [shape[1], 3 * shape[0]])
    taken = [tf.cast(tf.gather(turned, column), tf.float32) for column in columns]
    near, far = ((weight / 16)[:, None] for weight in weights)
    wide = tf.floor(taken[0] * near + taken[1] * far)
    wide = tf.transpose(tf.reshape(wide, [side, 3, shape[0]]), [1, 2, 0])
    rows, weights = _taps(shape[0], side, stop_at_border=False)
    tall = [
        tf.floor(tf.gather(wide, row, axis=1) * (weight / 65536)[:, None])
        for row, weight in zip(rows, weights, strict=True)
    ]
    # Of whole numbers up to 1020 a quarter, a half rounded up, as `tf.round` alone does not.
    return tf.round((tall[0] + tall[1]) * 0.25005)


def grey(image: tf.Tensor) -> tf.Tensor:
    """float32 [H, W] of uint8 [H, W, 3], R, G, B: `cv2.cvtColor`, COLOR_RGB2GRAY, exactly."""
    red, green, blue = (tf.cast(plane, tf.float32) for plane in tf.unstack(image, 3, axis=2))
    weighted = red * (9798 / 2**15) + green * (19235 / 2**15) + blue * (3735 / 2**15)
    return tf.floor(weighted + 0.5)


def bordered(plane: tf.Tensor, rows: int) -> tf.Tensor:
    """[H + 2 rows, W, ...] of [H, W, ...]: its first and last row repeated."""
    height = tf.shape(plane)[0]
    return tf.gather(plane, tf.clip_by_value(tf.range(-rows, height + rows), 0, height - 1))


def median(plane: tf.Tensor) -> tf.Tensor:
    """float32 [H, W] of [H + 2, W], a row more at both ends: `cv2.medianBlur` of 3 x 3, exactly.

    Sorts each column of three; the median of nine is then the median of the largest of the lowest,
    the median of the middle and the lowest of the largest (Smith, Xilinx XCELL 23, 1996).
    """
    above, here, below = _rows(plane, 3)
    low, high = tf.minimum(above, here), tf.maximum(above, here)
    rest = tf.maximum(low, below)
    lows, mids, highs = (
        _shifts(column, 3)
        for column in (tf.minimum(low, below), tf.minimum(high, rest), tf.maximum(high, rest))
    )
    middle = _median_of_three(
        tf.maximum(tf.maximum(lows[0], lows[1]), lows[2]),
        _median_of_three(*mids),
        tf.minimum(tf.minimum(highs[0], highs[1]), highs[2]),
    )
    return _unpadded(middle, above, tf.shape(plane)[1])


def gaussian_threshold(plane: tf.Tensor, block: int, c: int) -> tf.Tensor:
    """float32 [H, W], 0 or 255, of [H + block - 1, W], `block // 2` rows more at both ends.

    `cv2.adaptiveThreshold`, ADAPTIVE_THRESH_GAUSSIAN_C, THRESH_BINARY: white is what lies less than
    `c` below the weighted mean, rounded. Sums of 32-bit floats end differently in another order, so
    that once in a while a mean on the verge of rounding falls the other way.
    """
    weights = cv2.getGaussianKernel(block, 0, cv2.CV_32F).ravel().tolist()
    rows = _rows(plane, block)
    sums = tf.add_n([weight * row for weight, row in zip(weights, rows, strict=True)])
    columns = zip(weights, _shifts(sums, block), strict=True)
    mean = tf.round(tf.add_n([weight * column for weight, column in columns]))
    inner = plane[block // 2 : -(block // 2)]
    return 255 * _positive(inner - _unpadded(mean, sums, tf.shape(plane)[1]) + c)


def edge_pixels(plane: tf.Tensor, block: int, c: int) -> tf.Tensor:
    """float32 scalar: how many pixels `cv2.adaptiveThreshold` makes 0, exactly.

    plane: float32 [H + block - 1, W]: `block // 2` rows more at both ends.

    ADAPTIVE_THRESH_MEAN_C, THRESH_BINARY: those that lie at least `c` below the mean, rounded, of
    `block` x `block` pixels. Compared as sums: block squared is odd, so no mean ends in a half.
    """
    area = block * block
    rows = _rows(plane, block, between=-(2.0**16))  # so low that nothing there lies below a mean
    sums = tf.add_n(rows)
    shifts = _shifts(sums, block)
    # The middle one stands over the pixel itself, which is taken off here, before it is shifted.
    own = area * tf.nn.relu(rows[block // 2]) + (area * c - area // 2 - 1)
    shifts[block // 2] = _shifts(sums - own, block)[block // 2]
    return tf.reduce_sum(_positive(tf.add_n(shifts)))


def bilateral(
    picture: tf.Tensor, diameter: int, sigma_colour: float, sigma_space: float
) -> tf.Tensor:
    """float32 [3, side, side] of the same: `cv2.bilateralFilter`; `side` is a multiple of `STRIP`.

    OpenCV adds up its 32-bit floats in another order, so a pixel in 30 000 differs, by 1.

    A neighbour's weight is exp(-d^2 / 2 sigma_colour^2 - r^2 / 2 sigma_space^2), where d is the sum
    of the channels' differences and r the distance, up to half the diameter. It is the same seen
    from the neighbour, so each pair of pixels is weighted once, and what the one gains by
    weight x difference the other loses.
    """
    side, radius = picture.shape[-1], diameter // 2
    stride = -(-(side + 2 * radius) // ALIGNED) * ALIGNED
    unit = sigma_colour * 2**0.5
    padded = tf.pad(picture, [[0, 0], [radius, radius], [radius, radius]], "REFLECT")
    padded = tf.pad(padded, [[0, 0], [0, 0], [0, stride - side - 2 * radius]])
    padded = tf.reshape(padded / unit, [3, (side + 2 * radius) * stride])

    def strip(first_row: tf.Tensor) -> tf.Tensor:
        rows = tf.slice(padded, [0, first_row * stride], [3, (STRIP + 2 * radius) * stride])
        smooth = _bilateral_strip(tf.unstack(rows), stride, radius, sigma_space)
        smooth = tf.reshape(tf.stack(smooth), [3, STRIP, stride])[:, :, radius : radius + side]
        return tf.round(smooth * unit)

    spec = tf.TensorSpec([3, STRIP, side], tf.float32)
    starts = tf.range(0, side, STRIP)
    strips = tf.map_fn(strip, starts, fn_output_signature=spec, parallel_iterations=2)
    return tf.reshape(tf.transpose(strips, [1, 0, 2, 3]), [3, side, side])


def histograms(picture: tf.Tensor) -> tf.Tensor:
    """int32 [3, 256] of float32 [3, H, W]: how often each value occurs in each plane."""
    none = tf.constant([], tf.int32)
    values = tf.unstack(tf.reshape(tf.cast(picture, tf.int32), [3, -1]))
    return tf.stack([tf.raw_ops.Bincount(arr=plane, size=256, weights=none) for plane in values])


def correlation(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """float64 [N] of two int32 [N, bins]: `cv2.compareHist`, HISTCMP_CORREL."""
    a, b = (tf.cast(counts, tf.float64) for counts in (a, b))
    a, b = (counts - tf.reduce_mean(counts, axis=1, keepdims=True) for counts in (a, b))
    spread = tf.reduce_sum(a * a, axis=1) * tf.reduce_sum(b * b, axis=1)
    return tf.where(spread > 1e-9, tf.reduce_sum(a * b, axis=1) / tf.sqrt(spread), 1.0)


def _bilateral_strip(
    picture: list[tf.Tensor], stride: int, radius: int, sigma_space: float
) -> list[tf.Tensor]:
    """Rows of `stride` values, one after another, for the strip without `radius` rows around it.

    picture: float32 [(STRIP + 2 radius) * stride] a plane, in units of sigma_colour * sqrt(2).
    Flat, so that a neighbour at (y, x) is a shift by y * stride + x; it is free where x is 0.
    """
    margin, inner, top = ALIGNED, STRIP * stride, radius * stride
    pairs = inner + top + 2 * margin
    flat = [tf.pad(plane, [[2 * margin, 2 * margin]]) for plane in picture]
    here = [plane[margin : margin + pairs] for plane in flat]
    gains: list[list[tf.Tensor]] = [[], [], [], []]  # three channels and the weight
    losses: list[list[tf.Tensor]] = [[], [], [], []]
    for x in range(-radius, radius + 1):
        there = [tf.slice(plane, [margin + x], [pairs + top]) for plane in flat]
        lost: list[list[tf.Tensor]] = [[], [], [], []]
        for y in range(radius + 1):
            if y * y + x * x > radius * radius or (y == 0 and x <= 0):
                continue
            start = y * stride
            apart = [q[start : start + pairs] - p for q, p in zip(there, here, strict=True)]
            distance = tf.add_n([tf.abs(channel) for channel in apart])
            near = -(y * y + x * x) / (2 * sigma_space**2)
            weight = tf.exp(near - distance * distance)
            for i, gain in enumerate([*(weight * channel for channel in apart), weight]):
                gains[i].append(gain[top : top + inner + margin])
                lost[i].append(gain[top - start : top - start + inner + 2 * margin])
        for i in range(4):
            if lost[i]:
                losses[i].append(tf.slice(tf.add_n(lost[i]), [margin - x], [inner]))
    gained = [tf.add_n(each)[margin : margin + inner] for each in gains]
    weights = tf.add_n([gained[3], *losses[3]]) + 1.0
    centre = [plane[top + margin : top + margin + inner] for plane in here]
    return [centre[i] + (gained[i] - tf.add_n(losses[i])) / weights for i in range(3)]


def _median_of_three(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    return tf.maximum(tf.minimum(a, b), tf.minimum(tf.maximum(a, b), c))


def _positive(whole: tf.Tensor) -> tf.Tensor:
    """1 where whole numbers are above 0, else 0: with a comparison `edges` takes a fifth longer."""
    return tf.minimum(tf.nn.relu(whole), 1.0)


def _rows(plane: tf.Tensor, block: int, between: float = 0.0) -> list[tf.Tensor]:
    """float32 [H, stride], `block` times: rows of a plane [H + block - 1, W], each from one lower.

    Each is `block // 2` longer at both ends, where the border is repeated. Then comes `between`,
    at least once and until the next one begins at a multiple of `ALIGNED`.
    """
    height, width = tf.unstack(tf.shape(plane))
    sides = [[plane[:, :1]] * (block // 2), [plane[:, -1:]] * (block // 2)]
    unused = tf.fill([height, ALIGNED - (width + block - 1) % ALIGNED], between)
    wide = tf.concat([*sides[0], plane, *sides[1], unused], axis=1)
    # Counted from the end, so that no operation has to find the place out; so in `_shifts`.
    return [wide[i : i + 1 - block or None] for i in range(block)]


def _shifts(rows: tf.Tensor, block: int) -> list[tf.Tensor]:
    """One after another what `_rows` gave, and the same from one to `block - 1` places on."""
    flat = tf.reshape(rows, [-1])
    return [flat[i : i + 1 - block or None] for i in range(block)]


def _unpadded(shifted: tf.Tensor, rows: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """[H, width] of what was made of the `_shifts` of `rows`, [H, stride]."""
    lost = tf.size(rows) - tf.size(shifted)
    return tf.reshape(tf.pad(shifted, [[0, lost]]), tf.shape(rows))[:, :width]


def _taps(
    size: tf.Tensor, side: int, stop_at_border: bool
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The two neighbours of each new place along an axis, and their weights in 2048ths.

    Beyond the border OpenCV takes the last column whole, but the last row in two splits.
    """
    scale = tf.cast(size, tf.float64) / side
    place = tf.cast((tf.range(side, dtype=tf.float64) + 0.5) * scale - 0.5, tf.float32)
    first = tf.cast(tf.floor(place), tf.int32)
    share = place - tf.floor(place)
    if stop_at_border:
        share = tf.where((first < 0) | (first >= size - 1), 0.0, share)
    taps = [tf.clip_by_value(first + i, 0, size - 1) for i in (0, 1)]
    return taps, [tf.round(part * 2048) for part in (1 - share, share)]
