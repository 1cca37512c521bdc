"""An image-to-image model as a SavedModel: a picture of any size in, a picture out.

A picture is drawn in tiles that see so much of their surroundings that no seam shows, so memory
does not grow with it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from stages.models.common.image_ops import decode, map_images
from stages.models.common.model import ImagePredictor

MAX_DRAWN_PIXELS = 4 * 1024 * 1024  # of a picture: 4 megapixels
TILE = 512  # px

Paint = Callable[[tf.Tensor], tf.Tensor]


def tiled(image: tf.Tensor, paint: Paint, stride: int, reach: int, tile: int = TILE) -> tf.Tensor:
    """uint8 [H, W, 3] of uint8 [H, W, 3], painted in tiles of about `tile` px a side.

    paint: float32 [1, h, w, 3], 0 to 255, to the same, sides a multiple of `stride`; a pixel of the
    result may depend on `reach` px on each side. Edges are the network's own matter; where a side
    is no multiple of `stride`, its last pixel is repeated.
    """
    size = tf.shape(image)[:2]
    padded = -(-size // stride) * stride
    inner = -(-size // (-(-size // tile) * stride)) * stride  # a tile without its surroundings
    counts = -(-size // inner)
    margin = -(-reach // stride) * stride

    def one(number: tf.Tensor) -> tf.Tensor:
        start = tf.stack([number // counts[1], number % counts[1]]) * inner
        low, high = tf.maximum(start - margin, 0), tf.minimum(start + inner + margin, padded)
        rows, columns = (tf.minimum(tf.range(low[i], high[i]), size[i] - 1) for i in range(2))
        part = tf.cast(tf.gather(tf.gather(image, rows), columns, axis=1), tf.float32)[None]
        first = start - low
        last = first + inner
        drawn = paint(part)[0, first[0] : last[0], first[1] : last[1]]
        missing = inner - tf.shape(drawn)[:2]
        drawn = tf.pad(drawn, [[0, missing[0]], [0, missing[1]], [0, 0]])
        return tf.cast(tf.round(tf.clip_by_value(drawn, 0.0, 255.0)), tf.uint8)

    tiles = tf.map_fn(
        one,
        tf.range(counts[0] * counts[1]),
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
    )
    grid = tf.reshape(tiles, [counts[0], counts[1], inner[0], inner[1], 3])
    whole = tf.reshape(tf.transpose(grid, [0, 2, 1, 3, 4]), [*tf.unstack(counts * inner), 3])
    return whole[: size[0], : size[1]]


def image_predictor(draw: Callable[[tf.Tensor], tf.Tensor]) -> ImagePredictor:
    """The same of arrays, as it is served: one graph for every size."""
    picture = tf.TensorSpec([None, None, 3], tf.uint8)
    graph = tf.function(draw, input_signature=[picture])
    return lambda pixels: graph(pixels).numpy()


class ServedImageModel(tf.Module):
    """A served image-to-image model.

    It answers `image` (uint8 [N, H, W, 3]) and `image_png` (string [N]).

    signatures: by name, each with the names of its further inputs (float32 [N]) and a function
    of uint8 [H, W, 3] and those inputs' values; `serving_default` and `pixels` must be there.
    state: the variables that they use, so that they are saved too.
    """

    def __init__(
        self,
        signatures: dict[str, tuple[tuple[str, ...], Callable[..., tf.Tensor]]],
        state: list[tf.Variable],
    ) -> None:
        super().__init__()
        self.state = state
        self._signatures = signatures

    def save(self, folder: Path) -> None:
        """Write the SavedModel."""
        signatures = {
            name: self._signature(name == "pixels", inputs, draw)
            for name, (inputs, draw) in self._signatures.items()
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)

    def _signature(
        self, pixels: bool, inputs: tuple[str, ...], draw: Callable[..., tf.Tensor]
    ) -> Callable[..., Any]:
        picture = (
            tf.TensorSpec([None, None, None, 3], tf.uint8, "pixels")
            if pixels
            else tf.TensorSpec([None], tf.string, "image_bytes")
        )
        further = [tf.TensorSpec([None], tf.float32, name) for name in inputs]

        @tf.function(input_signature=[picture, *further])
        def answer(batch: tf.Tensor, *values: tf.Tensor) -> dict[str, tf.Tensor]:
            name = "pixels" if pixels else "image_bytes"
            with tf.control_dependencies(_checks(batch, name, values, inputs)):
                batch = tf.identity(batch)

            def one(row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
                image = row[0] if pixels else decode(row[0])
                image = draw(image, *row[1:])
                return image, tf.io.encode_png(image, compression=1)

            kinds = (
                tf.TensorSpec([None, None, 3], tf.uint8),
                tf.TensorSpec([], tf.string),
            )
            image, png = tf.map_fn(
                one, (batch, *values), parallel_iterations=1, fn_output_signature=kinds
            )
            return {"image": image, "image_png": png}

        return answer


def _checks(
    batch: tf.Tensor, name: str, values: tuple[tf.Tensor, ...], inputs: tuple[str, ...]
) -> list[tf.Operation]:
    """What must hold before any picture is drawn; each says what is wrong."""
    if name == "pixels":
        sizes = tf.shape(batch)[None, 1:3]
    else:
        # Decoded once more below: little work beside the drawing, and all faults come first.
        sizes = map_images(batch, lambda data: tf.shape(decode(data))[:2], name)
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(sizes == sizes[:1]), [f"{name}: pictures of one batch differ in size"]
        ),
        tf.debugging.Assert(
            tf.reduce_all((sizes[:, 0] > 0) & (sizes[:, 1] > 0)), [f"{name}: a picture is empty"]
        ),
        tf.debugging.Assert(
            tf.reduce_all(tf.reduce_prod(tf.cast(sizes, tf.int64), axis=1) <= MAX_DRAWN_PIXELS),
            [f"{name}: a picture has more than {MAX_DRAWN_PIXELS} pixels"],
        ),
    ]
    for value, word in zip(values, inputs, strict=True):
        checks.append(
            tf.debugging.Assert(
                tf.reduce_all((value >= 0) & (value <= 1)), [f"{word}: must be from 0 to 1"]
            )
        )
        checks.append(
            tf.debugging.Assert(
                tf.equal(tf.size(value), tf.shape(batch)[0]), [f"{word}: one a picture"]
            )
        )
    return checks
