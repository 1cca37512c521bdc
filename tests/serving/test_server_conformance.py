"""Where a client of TensorFlow Serving could tell the difference: its answers to odd requests."""

import http.client
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.client import Client
from serving.protos import (
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    saved_model_pb2,
    tensor_pb2,
    types_pb2,
)
from serving.server.status import StatusError
from serving.tensors import to_array, to_proto

from .model_server import Repository, Server, model_config

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def save_types(folder: Path) -> None:
    """Signatures that answer what they are asked, one a type."""
    import tensorflow as tf

    def same(kind: Any) -> Any:
        spec = tf.TensorSpec([None], kind, name="x")
        return tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec])

    module = tf.Module()
    kinds = (tf.bfloat16, tf.float16, tf.float32, tf.string, tf.int32)
    module.functions = {kind.name: same(kind) for kind in kinds}
    tf.saved_model.save(module, str(folder), dict(module.functions))


def save_two_inputs(folder: Path) -> None:
    """`classify` and `regress` take examples through placeholders of their own."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        info = v1.saved_model.utils.build_tensor_info

        def signature(name: str, output: str, factor: float, method: str) -> Any:
            examples = v1.placeholder(tf.string, [None], name)
            x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
            y = factor * (x[:, None] if method == CLASSIFY else x)
            return v1.saved_model.signature_def_utils.build_signature_def(
                {"inputs": info(examples)}, {output: info(y)}, method
            )

        builder = v1.saved_model.Builder(str(folder))
        signatures = {
            "classify": signature("one", "scores", 2.0, CLASSIFY),
            "regress": signature("other", "outputs", 3.0, REGRESS),
        }
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


@pytest.fixture(scope="module")
def served(
    server: Server, saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Serves `half`, `half_default` (x may be left out), `types` and `two_inputs`."""
    folder = tmp_path_factory.mktemp("conformance")
    Repository(saved_models, folder / "half").add(1, "half_plus_2")
    version = Repository(saved_models, folder / "half_default").add(1, "half_plus_2")
    model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    definition = model.meta_graphs[0].signature_def["serving_default"]
    definition.defaults["x"].CopyFrom(to_proto(np.float32([10])))
    (version / "saved_model.pb").write_bytes(model.SerializeToString())
    (folder / "types").mkdir()
    save_types(folder / "types" / "1")
    (folder / "two_inputs").mkdir()
    save_two_inputs(folder / "two_inputs" / "1")
    names = ("half", "half_default", "types", "two_inputs")
    with Client(server.address) as client:
        client.reload_config(model_config(*({"name": n, "base_path": folder / n} for n in names)))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def rest(server: Server, served: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    """Predict by REST: model and body to status and text."""
    line = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)

    def ask(model: str, body: Any) -> tuple[int, str]:
        text = body if isinstance(body, str) else json.dumps(body)
        line.request("POST", f"/v1/models/{model}:predict", text)
        response = line.getresponse()
        return response.status, response.read().decode()

    yield ask
    line.close()


@pytest.fixture
def stub(server: Server, served: Path) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(model: str, signature: str = "", **inputs: tensor_pb2.TensorProto) -> Any:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for name, proto in inputs.items():
        message.inputs[name].CopyFrom(proto)
    return message


def test_only_the_graph_decides_about_shapes(rest: Any, stub: Any) -> None:
    """[N] in the signature, but x / 2 + 2 takes any shape."""
    assert json.loads(rest("half", {"inputs": [[1.0, 2.0], [3.0, 4.0]]})[1])["outputs"]["y"] == [
        [2.5, 3.0],
        [3.5, 4.0],
    ]
    answer = stub.Predict(request("half", x=to_proto(np.float32(2))))
    assert to_array(answer.outputs["y"]).tolist() == 3.0
    refused = rest("half", {"signature_name": "square", "inputs": [[1.0]]})
    assert refused[0] == 400
    assert "reshape" in refused[1]


def test_defaults_stand_in_for_what_is_left_out(rest: Any, stub: Any) -> None:
    assert to_array(stub.Predict(request("half_default")).outputs["y"]).tolist() == [7.0]
    assert json.loads(rest("half_default", {"inputs": {}})[1])["outputs"]["y"] == [7.0]
    assert json.loads(rest("half_default", {"inputs": {"x": [2]}})[1])["outputs"]["y"] == [3.0]
    with pytest.raises(grpc.RpcError, match=r"Missing but required: \{x\}"):
        stub.Predict(request("half"))


def test_tasks_with_inputs_of_their_own(stub: Any) -> None:
    message = inference_pb2.MultiInferenceRequest()
    for signature, method in (("classify", CLASSIFY), ("regress", REGRESS)):
        task = message.tasks.add(method_name=method)
        task.model_spec.name = "two_inputs"
        task.model_spec.signature_name = signature
    example = message.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(2)
    classified, regressed = stub.MultiInference(message).results
    assert classified.classification_result.classifications[0].classes[0].score == 4
    assert regressed.regression_result.regressions[0].value == 6


def test_strings_in_tensor_content(stub: Any) -> None:
    """As TensorFlow writes them: the lengths, then the bytes."""
    long = bytes(range(256)) * 2
    proto = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, tensor_content=b"\x02\x00\x80\x04" + b"ab" + long
    )
    proto.tensor_shape.dim.add().size = 3
    answer = stub.Predict(request("types", "string", x=proto))
    assert list(answer.outputs["y"].string_val) == [b"ab", b"", long]
    for content in (b"\x02a", b"\x01\x01\x01abcd", b"\xff", b"\x01\x01"):
        proto.tensor_content = content
        with pytest.raises(grpc.RpcError, match="tensor parsing error: input 'x'"):
            stub.Predict(request("types", "string", x=proto))


def test_floats_in_json(rest: Any) -> None:
    def same(kind: str, text: str) -> str:
        status, answer = rest("types", f'{{"signature_name": "{kind}", "instances": [{text}]}}')
        assert status == 200, answer
        return answer.removeprefix('{"predictions":[').removesuffix("]}")

    assert same("float32", "1.79769e308, -1.79769e308, NaN") == "Infinity,-Infinity,NaN"
    assert same("float32", "0.1, 16777217") == "0.1,16777216.0"
    assert same("float16", "65504, 0.5") == "65504.0,0.5"
    assert same("bfloat16", "1.5, 3, 0.1") == "1.5,3.0,0.100097656"
    assert same("int32", "-3, 2147483647") == "-3,2147483647"
    assert rest("types", {"signature_name": "int32", "inputs": [1 << 31]})[0] == 400


def test_bfloat16_in_messages(stub: Any) -> None:
    bits = [0x3FC0, 0xC000]  # 1.5, -2
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_BFLOAT16, half_val=bits)
    proto.tensor_shape.dim.add().size = 2
    answer = stub.Predict(request("types", "bfloat16", x=proto)).outputs["y"]
    assert (answer.dtype, list(answer.half_val)) == (types_pb2.DT_BFLOAT16, bits)


def get(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    line.request(method, path)
    response = line.getresponse()
    text = response.read()
    line.close()
    return response.status, dict(response.getheaders()), text


def test_flags_that_change_how_it_answers(saved_models: Path, tmp_path: Path) -> None:
    """Raw bytes, other origins, method names, a session's config; and one without effect."""
    version = Repository(saved_models, tmp_path / "half").add(1, "half_plus_2")
    model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    model.meta_graphs[0].signature_def["small"].method_name = "nonsense"
    (version / "saved_model.pb").write_bytes(model.SerializeToString())
    (tmp_path / "session").write_text("intra_op_parallelism_threads: 1")
    flags = (
        "--model_name=half",
        f"--model_base_path={tmp_path / 'half'}",
        "--rest_api_enable_cors_support",
        "--enable_serialization_as_tensor_content=true",
        "--enable_signature_method_name_check=true",
        "--saved_model_tags=serve",
        f"--tensorflow_session_config_file={tmp_path / 'session'}",
        "--flush_filesystem_caches=false",
    )
    with Server(tmp_path, *flags) as server, grpc.insecure_channel(server.address) as channel:
        assert "Without effect here: --flush_filesystem_caches" in server.log.read_text()
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request("half", x=to_proto(np.float32([2])))).outputs["y"]
        assert answer.tensor_content == np.float32([3]).tobytes()
        assert not answer.float_val
        with pytest.raises(grpc.RpcError, match="method_name to be one of") as refusal:
            stub.Predict(request("half", "small", x=to_proto(np.float32([2]))))
        assert refusal.value.code() == grpc.StatusCode.INTERNAL
        for path, method in (("/v1/models/half", "GET"), ("/v1/models/half:predict", "OPTIONS")):
            status, headers, _ = get(server.rest_port, path, method)
            assert status == 200
            assert headers["access-control-allow-origin"] == "*"


def test_tags_that_no_graph_has(saved_models: Path, tmp_path: Path) -> None:
    from serving.server.runtime.saved_model import SavedModelOptions, load

    with pytest.raises(StatusError, match=r"matching supplied tags: \{ serve gpu \}"):
        load(saved_models / "half_plus_1", SavedModelOptions(("serve", "gpu")))


def test_what_is_served_and_whether_it_is_ready(server: Server, served: Path) -> None:
    """Beyond the real server's paths."""
    status, _, text = get(server.rest_port, "/v1/models")
    assert status == 200
    assert {"name": "types", "version": "1"} in json.loads(text)["models"]
    assert get(server.rest_port, "/v1/ready")[0] == 200
    assert get(server.rest_port, "/v1/models/half", "OPTIONS")[0] == 400
