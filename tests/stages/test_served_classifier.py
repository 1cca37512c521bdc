"""Classifiers as they are served, the colour count for all: files in, scores out."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from celflow.images import encode_png
from stages.models.common import image_ops

from .conftest import flat_drawing, grainy_photo, make_model

CONFIG = {"colours": 64, "side": 128}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The colour count as a SavedModel, loaded again."""
    folder = tmp_path_factory.mktemp("colours")
    (folder / "model.json").write_text(json.dumps({"threshold": 0.3, "slope": 20.0}))
    model = make_model("colours", **CONFIG)
    model.export(folder, ["cartoon", "photo"]).save(folder / "saved_model")
    return folder, tf.saved_model.load(str(folder / "saved_model"))


def test_graph_and_opencv_agree(classifier, tmp_path):
    folder, loaded = classifier
    pictures = [flat_drawing(i) for i in range(8)] + [grainy_photo(i) for i in range(8)]
    paths = []
    for i, picture in enumerate(pictures):
        paths.append(str(tmp_path / f"{i}.png"))
        picture.save(paths[-1])
    data = tf.constant([Path(path).read_bytes() for path in paths])
    answer = loaded.signatures["serving_default"](image_bytes=data)
    ours, theirs = answer["scores"].numpy(), make_model("colours", **CONFIG).predict(folder, paths)
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()
    # OpenCV rounds its weights from other floats: a pixel in 10 000 may differ by 1.
    assert np.abs(ours - theirs).max() < 0.01
    assert answer["classes"].numpy()[5].tolist() == [b"cartoon", b"photo"]


def test_pixels_and_bytes_answer_alike(classifier):
    _, loaded = classifier
    pixels = np.stack([np.asarray(flat_drawing(i)) for i in range(3)])
    by_bytes = loaded.signatures["serving_default"](
        image_bytes=tf.constant([encode_png(one) for one in pixels])
    )
    by_pixels = loaded.signatures["pixels"](pixels=tf.constant(pixels))
    assert np.allclose(by_bytes["scores"], by_pixels["scores"], atol=1e-6)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
def test_every_format_is_decoded(classifier, encode, kind):
    _, loaded = classifier
    data = tf.constant([encode(np.asarray(flat_drawing(1)), kind)])
    assert loaded.signatures["serving_default"](image_bytes=data)["scores"].shape == (1, 2)


def test_broken_pictures_in_a_batch_are_named(classifier, encode):
    _, loaded = classifier
    good = encode(np.asarray(flat_drawing(1)))
    cut = encode(np.asarray(grainy_photo(1)), "JPEG")[:300]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"at position 1, 3 of the batch"):
        loaded.signatures["serving_default"](image_bytes=tf.constant([good, b"text", good, b"B"]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid JPEG data"):
        loaded.signatures["serving_default"](image_bytes=tf.constant([good, cut]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"at position 0 of the batch"):
        loaded.signatures["serving_default"](image_bytes=tf.constant([b""]))


def test_an_empty_batch_gives_an_empty_answer(classifier):
    _, loaded = classifier
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert answer["scores"].shape == (0, 2) == answer["classes"].shape


def test_resize_keeps_flat_colour_and_range(noise):
    flat = image_ops.resize(tf.constant(np.full((50, 20, 3), 200, np.uint8)), 32)
    assert (flat.numpy() == 200).all()
    assert image_ops.resize(tf.constant(noise(7, 500)), 16).shape == (16, 16, 3)
