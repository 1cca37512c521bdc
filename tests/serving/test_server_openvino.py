"""The network inside a SavedModel, run by OpenVINO: same answers, errors in one line."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celflow.images import encode_png

SIDE = 16


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of pictures: decoding and names around a small network."""
    import tensorflow as tf

    from stages.models.common.image_ops import resize
    from stages.models.common.served_classifier import ServedClassifier

    random = np.random.default_rng(5)
    kernel = tf.Variable(random.normal(size=(3, 3, 3, 8)) / 3, dtype=tf.float32)
    weights = tf.Variable(random.normal(size=(8, 3)), dtype=tf.float32)

    def network(batch: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(tf.nn.conv2d(tf.cast(batch, tf.float32) / 255, kernel, 2, "SAME"))
        return tf.nn.softmax(tf.reduce_mean(x, [1, 2]) @ weights)

    folder = tmp_path_factory.mktemp("models") / "drawn/1"
    served = ServedClassifier(
        ["a", "b", "c"], lambda image: resize(image, SIDE), network, [kernel, weights]
    )
    served.save(folder)
    return folder


def signatures(version: Path, **options: bool) -> dict[str, Any]:
    from serving.server.runtime import saved_model

    return saved_model.load(version, saved_model.SavedModelOptions(**options))[1]


def pictures(count: int) -> np.ndarray:
    random = np.random.default_rng(7)
    pixels = random.integers(0, 256, (count, 20, 24, 3), np.uint8)
    return np.array([encode_png(one) for one in pixels], object)


def run(signature: Any, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    from serving.server.deadline import NO_DEADLINE

    return signature.run(inputs, NO_DEADLINE)  # type: ignore[no-any-return]


def test_nothing_in_nothing_out(version: Path) -> None:
    found = run(signatures(version, openvino=True)["serving_default"], image_bytes=pictures(0))
    assert found["scores"].shape == (0, 3)


@pytest.mark.parametrize("count", [1, 5])
def test_it_answers_as_tensorflow_does(version: Path, count: int) -> None:
    plain = run(signatures(version)["serving_default"], image_bytes=pictures(count))
    for lower, close in ((False, 1e-5), (True, 0.05)):
        served = signatures(version, openvino=True, bfloat16=lower)
        found = run(served["serving_default"], image_bytes=pictures(count))
        assert found["scores"].shape == (count, 3)
        np.testing.assert_allclose(found["scores"], plain["scores"], atol=close)
        np.testing.assert_array_equal(found["classes"], plain["classes"])


def test_it_is_openvino_that_runs(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serving.server.runtime.openvino_network import _Network

    monkeypatch.setattr(_Network, "__call__", lambda _, batch: [np.full((len(batch), 3), 0.5, "f")])
    found = run(signatures(version, openvino=True)["serving_default"], image_bytes=pictures(2))
    np.testing.assert_array_equal(found["scores"], np.full((2, 3), 0.5))


def test_many_at_once_get_their_own_answers(version: Path) -> None:
    signature = signatures(version, openvino=True)["serving_default"]
    each = pictures(24)
    alone = [run(signature, image_bytes=each[i : i + 1])["scores"][0] for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: run(signature, image_bytes=np.array([one])), each))
    np.testing.assert_allclose([one["scores"][0] for one in found], alone, atol=1e-6)


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    import tensorflow as tf

    from serving.server.status import StatusError

    module = tf.Module()
    module.weights = tf.Variable(np.eye(4), dtype=tf.float32)
    free = [tf.TensorSpec([None, 4], tf.float32, name="x")]
    score = tf.function(lambda x: {"scores": x @ module.weights}, input_signature=free)
    tf.saved_model.save(module, str(tmp_path), {"serving_default": score})
    signature = signatures(tmp_path, openvino=True)["serving_default"]
    np.testing.assert_array_equal(run(signature, x=np.eye(4, dtype="f"))["scores"], np.eye(4))
    with pytest.raises(StatusError) as caught:
        run(signature, x=np.ones((2, 5), np.float32))
    assert caught.value.code.name == "INVALID_ARGUMENT"
    assert "(2, 5)" in caught.value.message and "Traceback" not in caught.value.message
    assert "function_node" not in caught.value.message


def test_what_has_no_network_says_so(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    free = [tf.TensorSpec([None], tf.string, name="x")]
    upper = tf.function(lambda x: {"y": tf.strings.upper(x)}, input_signature=free)
    tf.saved_model.save(module, str(tmp_path), {"serving_default": upper})
    with pytest.raises(ValueError, match="no function of the graph"):
        signatures(tmp_path, openvino=True)
