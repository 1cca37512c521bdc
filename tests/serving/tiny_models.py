"""SavedModels that take no time to load: what the server's tests serve."""

from pathlib import Path
from typing import Any

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
    def rotate(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.complex(x, -x)}

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


class Counter(tf.Module):
    """Counts to a number: slow without a clock, which a seeded test in this process may forbid."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="turns")])
    def count(self, turns: tf.Tensor) -> dict[str, tf.Tensor]:
        done = tf.constant(0, tf.int64)
        while done < turns:
            done += 1
        return {"done": done}


def save_examples(folder: Path) -> None:
    """A model of TensorFlow 1 that takes Examples: `x` (float) and `weight` (float, 1 if missing).

    scale = 10 is a variable. `classify` answers "low"/"high" with scores, `scores` only the scores,
    `regress` scale * x * weight; `bad_regress` has two values for each example.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], "examples")
        features = {
            "x": tf.io.FixedLenFeature([], tf.float32),
            "weight": tf.io.FixedLenFeature([], tf.float32, 1.0),
        }
        parsed = tf.io.parse_example(examples, features)
        scale = v1.get_variable("scale", initializer=10.0, use_resource=False)
        x = parsed["x"]
        classes = tf.tile(tf.constant([["low", "high"]]), [tf.size(x), 1])
        info = v1.saved_model.utils.build_tensor_info
        inputs = {"inputs": info(examples)}
        scores = {"scores": info(tf.stack([1 - x, x], 1))}
        values = {"outputs": info(scale * x * parsed["weight"])}
        pairs = {"outputs": info(tf.stack([x, x], 1))}

        def signature(outputs: dict[str, Any], method: str) -> Any:
            method = f"tensorflow/serving/{method}"
            return v1.saved_model.signature_def_utils.build_signature_def(inputs, outputs, method)

        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": signature({"classes": info(classes), **scores}, "classify"),
                "scores": signature(scores, "classify"),
                "regress": signature(values, "regress"),
                "bad_regress": signature(pairs, "regress"),
                "other": v1.saved_model.signature_def_utils.build_signature_def(
                    {"elsewhere": info(x)}, values, "tensorflow/serving/predict"
                ),
            },
        )
        builder.save()


def save_lite(folder: Path, saved_model: Path) -> None:
    """`model.tflite` of a SavedModel's default signature."""
    folder.mkdir()
    model = tf.saved_model.load(str(saved_model))
    function = model.signatures["serving_default"]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    (folder / "model.tflite").write_bytes(converter.convert())


def save_all(folder: Path) -> None:
    """Write every model into a folder of its name."""
    for b in (1, 2, 3):
        model = HalfPlus(float(b))
        signatures = {
            "serving_default": model.half_plus,
            "square": model.square,
            "rotate": model.rotate,
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
    save_examples(folder / "examples")
    slow = Slow()
    tf.saved_model.save(slow, str(folder / "slow"), {"serving_default": slow.wait})
    counter = Counter()
    tf.saved_model.save(counter, str(folder / "counter"), {"serving_default": counter.count})


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
