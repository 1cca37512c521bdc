"""The client and the messages import no TensorFlow, and get along with it."""

import subprocess
import sys

import pytest

from .model_server import ROOT

CLIENT_ONLY = """
import sys, time
started = time.perf_counter()
import serving.client
seconds = time.perf_counter() - started
assert not [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras")]
print(seconds)
"""

CLIENT_THEN_TENSORFLOW = """
from serving.protos import predict_pb2, tensor_pb2
before = tensor_pb2.TensorProto
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
assert tensor_pb2.TensorProto is before
assert tf.__file__ and tf.constant(1).numpy() == 1
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
assert tf.make_ndarray(request.inputs["x"]).tolist() == [1, 2]
"""

TENSORFLOW_THEN_CLIENT = """
import sys
import tensorflow as tf
from serving.protos import predict_pb2
assert sys.modules["tensorflow"] is tf and tf.constant(1).numpy() == 1
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
assert tf.make_ndarray(request.inputs["x"]).tolist() == [1, 2]
"""


def python(code: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_client_imports_no_tensorflow_and_is_quick() -> None:
    assert min(float(python(CLIENT_ONLY)) for _ in range(3)) < 0.7


@pytest.mark.parametrize("code", [CLIENT_THEN_TENSORFLOW, TENSORFLOW_THEN_CLIENT])
def test_protos_live_with_tensorflow_in_either_order(code: str) -> None:
    python(code)
