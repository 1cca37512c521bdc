"""TensorFlow Serving's messages and stubs, without paying for TensorFlow.

`tensorflow_serving.apis` imports `tensorflow.core.framework.*_pb2`. That generated code needs
nothing but protobuf, but Python runs `tensorflow/__init__.py` (some 7 s and 500 MB) first. Where
TensorFlow is not loaded yet, an empty package with the same search path therefore takes its place
in `sys.modules` while the messages are imported, and is removed again afterwards. A later `import
tensorflow` runs the same generated files once more: the descriptor pool accepts a file with equal
content, and protobuf hands out one class per descriptor, so messages made before and after mix
freely.

The one limit: no other thread may import TensorFlow in the 0.1 s that the first import of this
module takes.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def _tensorflow_without_init() -> Iterator[None]:
    """Let `tensorflow.core...` be imported without running `tensorflow/__init__.py`."""
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("TensorFlow is not installed", name="tensorflow")
    package = ModuleType("tensorflow")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "tensorflow"]:
            del sys.modules[name]


with _tensorflow_without_init():
    from tensorflow.core.example import example_pb2, feature_pb2
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        input_pb2,
        model_management_pb2,
        model_pb2,
        model_service_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_log_pb2,
        prediction_service_pb2,
        prediction_service_pb2_grpc,
        regression_pb2,
    )
    from tensorflow_serving.config import model_server_config_pb2

__all__ = [
    "classification_pb2",
    "config_pb2",
    "example_pb2",
    "feature_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "inference_pb2",
    "input_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "model_service_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_log_pb2",
    "prediction_service_pb2",
    "prediction_service_pb2_grpc",
    "regression_pb2",
    "saved_model_pb2",
    "tensor_pb2",
    "tensor_shape_pb2",
    "types_pb2",
]
