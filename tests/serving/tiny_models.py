"""SavedModels that take no time to load: what the server's tests serve."""

from pathlib import Path

import tensorflow as tf

from serving.protos import predict_pb2, prediction_log_pb2


class HalfPlus(tf.Module):
    """y = x / 2 + b, TensorFlow Serving's own example."""

    def __init__(self, b: float) -> None:
        super().__init__()
        self.b = tf.Variable(b)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half_plus(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2 + self.b, "twice": 2 * x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def square(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Fails in the graph for anything but four values."""
        return {"y": tf.reshape(x, [2, 2])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def small(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.debugging.assert_less(x, 5.0, message="x is too large")
        return {"y": x}


class Pictures(tf.Module):
    """A classifier by brightness, an encoder and a picture model in one."""

    def _brightness(self, image_bytes: tf.Tensor) -> tf.Tensor:
        def one(data: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(tf.cast(tf.io.decode_png(data, channels=3), tf.float32)) / 255

        return tf.map_fn(one, image_bytes, fn_output_signature=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        bright = self._brightness(image_bytes)
        classes = tf.tile(tf.constant([["dark", "bright"]]), [tf.size(bright), 1])
        return {"scores": tf.stack([1 - bright, bright], 1), "classes": classes}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        bright = self._brightness(image_bytes)
        return {"embedding": tf.math.l2_normalize(tf.stack([1 - bright, bright], 1), 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def render(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        grey = tf.cast(255 * self._brightness(image_bytes), tf.uint8)
        image = tf.tile(grey[:, None, None, None], [1, 4, 4, 3])
        png = tf.map_fn(tf.io.encode_png, image, fn_output_signature=tf.string)
        return {"image": image, "image_png": png}


class Slow(tf.Module):
    """Takes as long as it is told to."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="seconds")])
    def wait(self, seconds: tf.Tensor) -> dict[str, tf.Tensor]:
        start = tf.timestamp()
        turns = tf.constant(0.0)
        while tf.cast(tf.timestamp() - start, tf.float32) < seconds:
            turns += tf.reduce_sum(tf.ones([64, 64]) @ tf.ones([64, 64])) * 0 + 1
        return {"turns": turns}


def save_all(folder: Path) -> None:
    """Write every model into a folder of its name."""
    for b in (1, 2, 3):
        model = HalfPlus(float(b))
        signatures = {
            "serving_default": model.half_plus,
            "square": model.square,
            "small": model.small,
        }
        tf.saved_model.save(model, str(folder / f"half_plus_{b}"), signatures)
    pictures = Pictures()
    tf.saved_model.save(
        pictures,
        str(folder / "pictures"),
        {"serving_default": pictures.classify, "embed": pictures.embed},
    )
    tf.saved_model.save(pictures, str(folder / "painter"), {"serving_default": pictures.render})
    slow = Slow()
    tf.saved_model.save(slow, str(folder / "slow"), {"serving_default": slow.wait})


def add_warmup(version: Path, values: list[float], input_name: str = "x") -> None:
    """Put a warm-up request for a `HalfPlus` into a version's folder."""
    request = predict_pb2.PredictRequest()
    request.inputs[input_name].CopyFrom(tf.make_tensor_proto(values, tf.float32))
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(request)
    (version / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(
        str(version / "assets.extra" / "tf_serving_warmup_requests")
    ) as writer:
        writer.write(log.SerializeToString())
