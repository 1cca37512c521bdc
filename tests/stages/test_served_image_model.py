"""Image-to-image models as they are served: any size, no seams, clear errors."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from celflow.images import encode_png, open_image
from stages.models.common.served_image_model import ServedImageModel, tiled

REACH = 6


def smooth(pixels: tf.Tensor) -> tf.Tensor:
    """Two means over 7 x 7: depends on 6 px around; sides must be even."""
    even = tf.debugging.assert_equal(tf.shape(pixels)[1:3] % 2, 0)
    with tf.control_dependencies([even]):
        for _ in range(2):
            pixels = tf.nn.avg_pool2d(pixels, 7, 1, "SAME")
    return pixels


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(8, 40))
def test_tiles_leave_no_seam(height, width, tile):
    image = tf.constant(picture(height, width))
    whole = tiled(image, smooth, 2, REACH, tile=1000)
    parts = tiled(image, smooth, 2, REACH, tile=tile)
    assert parts.shape == image.shape
    assert np.abs(whole.numpy().astype(int) - parts.numpy()).max() <= 1


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("picture")

    def draw(image: tf.Tensor, strength: tf.Tensor = 1.0) -> tf.Tensor:
        return tiled(image, lambda x: strength * smooth(x), 2, REACH)

    plain = dict.fromkeys(("serving_default", "pixels"), ((), draw))
    ServedImageModel({**plain, "styled": (("strength",), draw)}, []).save(folder)
    return tf.saved_model.load(str(folder)).signatures


@pytest.mark.parametrize("size", [(16, 16), (1, 40), (40, 1), (33, 517), (20, 3000)])
def test_any_size_keeps_its_size(served, size):
    pixels = picture(*size)
    answer = served["serving_default"](image_bytes=tf.constant([encode_png(pixels)]))
    assert answer["image"].shape == (1, *size, 3)
    png = answer["image_png"].numpy()[0]
    assert np.array_equal(open_image(png).pixels, answer["image"].numpy()[0])
    again = served["pixels"](pixels=tf.constant(pixels[None]))["image"].numpy()
    assert np.array_equal(again, answer["image"].numpy())


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA"])
def test_a_picture_of_any_mode(served, mode):
    buffer = io.BytesIO()
    Image.fromarray(picture(20, 24)).convert(mode).save(buffer, "PNG")
    answer = served["serving_default"](image_bytes=tf.constant([buffer.getvalue()]))
    assert answer["image"].shape == (1, 20, 24, 3)


def test_a_batch_of_equal_sizes(served):
    pixels = np.stack([picture(24, 20), picture(24, 20)[::-1]])
    files = tf.constant([encode_png(one) for one in pixels])
    both = served["styled"](image_bytes=files, strength=tf.constant([1.0, 0.0]))["image"].numpy()
    assert both[0].std() > 1 and (both[1] == 0).all()


@pytest.mark.parametrize(
    ("signature", "inputs", "words"),
    [
        ("serving_default", {"image_bytes": [b"rubbish"]}, "position 0"),
        ("serving_default", {"image_bytes": [encode_png(picture(8, 8)), b""]}, "position 1"),
        (
            "serving_default",
            {"image_bytes": [encode_png(picture(8, 8)), encode_png(picture(8, 9))]},
            "differ in size",
        ),
        ("serving_default", {"image_bytes": [encode_png(picture(2100, 2100))]}, "more than"),
        ("pixels", {"pixels": np.zeros((1, 0, 5, 3), np.uint8)}, "empty"),
        ("styled", {"image_bytes": [encode_png(picture(8, 8))], "strength": [2.0]}, "from 0 to 1"),
        (
            "styled",
            {"image_bytes": [encode_png(picture(8, 8))], "strength": [float("nan")]},
            "from 0 to 1",
        ),
        ("styled", {"image_bytes": [encode_png(picture(8, 8))], "strength": [0.1, 0.2]}, "one a"),
    ],
)
def test_bad_input_is_named(served, signature, inputs, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        served[signature](**{name: tf.constant(value) for name, value in inputs.items()})
