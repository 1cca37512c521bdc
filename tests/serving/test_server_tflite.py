"""TensorFlow Lite models with signatures in their metadata, and with ops that nobody has."""

from pathlib import Path
from typing import Any

import flatbuffers
import grpc
import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from serving.protos import meta_graph_pb2
from serving.server.byte_budget import NO_BUDGET
from serving.server.deadline import NO_DEADLINE
from serving.server.runtime.loader import Loader
from serving.server.runtime.tflite_metadata import NAME
from serving.server.status import StatusError

from .tiny_models import save_lite


def described(file: Path, content: bytes) -> None:
    """Put signatures into a model's metadata, as TensorFlow's C++ tool does."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))
    model.signatureDefs = None
    buffer = schema.BufferT()
    buffer.data = list(content)
    model.buffers.append(buffer)
    metadata = schema.MetadataT()
    metadata.name = NAME
    metadata.buffer = len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), metadata]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    file.write_bytes(bytes(builder.Output()))


def signature(x: str, y: str) -> meta_graph_pb2.SignatureDef:
    definition = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/regress")
    definition.inputs["rows"].name = x
    definition.outputs["halves"].name = y
    return definition


@pytest.fixture
def lite(saved_models: Path, tmp_path: Path) -> Path:
    save_lite(tmp_path / "1", saved_models / "half_plus_3")
    return tmp_path / "1"


def names(folder: Path) -> tuple[str, str]:
    interpreter = tf.lite.Interpreter(model_path=str(folder / "model.tflite"))
    outputs = {d["name"]: d for d in interpreter.get_output_details()}
    interpreter.resize_tensor_input(0, [1])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.float32([4]))
    interpreter.invoke()
    y = next(n for n, d in outputs.items() if interpreter.get_tensor(d["index"])[0] == 5)
    return interpreter.get_input_details()[0]["name"], y


def load(folder: Path) -> Any:
    return Loader()("m", 1, folder)


def test_the_signature_in_the_metadata_names_inputs_and_outputs(lite):
    x, y = names(lite)
    text = signature(x.removesuffix(":0"), y).SerializeToString().decode("latin1")
    assert text.isascii()
    described(lite / "model.tflite", bytes(flexbuffers.Dumps({"serving_default": text})))
    servable = load(lite)
    definition = servable.signature_defs["serving_default"]
    assert list(definition.inputs) == ["rows"] and list(definition.outputs) == ["halves"]
    assert definition.method_name == "tensorflow/serving/regress"
    rows = {"rows": np.float32([2, 4, 6])}
    answer = servable.run("", rows, [], NO_DEADLINE, NO_BUDGET.hold())
    assert answer["halves"].tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes([0, 1]), "can't be read"),
        (bytes(flexbuffers.Dumps({"s": "\x7f"})), "can't be read"),
        (
            bytes(flexbuffers.Dumps({"s": signature("nothing", "y").SerializeToString().decode()})),
            "the signature names tensors that the model has not: nothing",
        ),
    ],
)
def test_a_signature_that_does_not_fit(lite, content, said):
    described(lite / "model.tflite", content)
    with pytest.raises(StatusError, match=said) as error:
        load(lite)
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_an_op_that_the_interpreter_has_not_is_named(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def parse(examples):
        return tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([parse.get_concrete_function()])
    converter.allow_custom_ops = True
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    with pytest.raises(StatusError, match="needs the op ParseExampleV2") as error:
        load(tmp_path)
    assert error.value.code == grpc.StatusCode.UNIMPLEMENTED
