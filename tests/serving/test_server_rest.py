"""The REST side: TensorFlow Serving's paths and JSON."""

import base64
import contextlib
import gzip
import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from serving.client import Client

from .model_server import Repository, Server, model_config


@pytest.fixture(scope="module")
def rest(server: Server, saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Ask by REST: path and body to status and JSON; half 1 (stable), half 2 and pictures."""
    folder = tmp_path_factory.mktemp("repository")
    half = Repository(saved_models, folder / "half")
    half.add(1, "half_plus_1")
    half.add(2, "half_plus_2")
    for name in ("pictures", "painter"):
        Repository(saved_models, folder / name).add(1, name)
    labels = {"stable": 1}
    config = model_config(
        {"name": "half", "base_path": half.base_path, "versions": "all", "labels": labels},
        {"name": "pictures", "base_path": folder / "pictures"},
        {"name": "painter", "base_path": folder / "painter"},
    )
    with Client(server.address) as client:
        client.reload_config(config)

    def ask(path: str, body: Any = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
        url = f"http://127.0.0.1:{server.rest_port}{path}"
        question = urllib.request.Request(url, data)
        try:
            with urllib.request.urlopen(question) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return ask


def test_rows_and_columns(rest: Any) -> None:
    status, answer = rest("/v1/models/half:predict", {"instances": [2, 4]})
    assert (status, answer) == (
        200,
        {"predictions": [{"y": 3, "twice": 4}, {"y": 4, "twice": 8}]},
    )
    named = {"instances": [{"x": 2}, {"x": 4}]}
    assert rest("/v1/models/half:predict", named)[1] == answer
    expected = {"outputs": {"y": [3, 4], "twice": [4, 8]}}
    assert rest("/v1/models/half:predict", {"inputs": [2, 4]})[1] == expected
    assert rest("/v1/models/half:predict", {"inputs": {"x": [2, 4]}})[1] == expected


def test_decimals_are_the_shortest_that_say_it(rest: Any) -> None:
    answer = rest("/v1/models/half:predict", {"inputs": [0.1]})[1]
    assert answer == {"outputs": {"y": [1.05 + 1], "twice": [0.2]}}
    answer = rest("/v1/models/half:predict", b'{"inputs": [NaN, Infinity]}')[1]
    assert str(answer["outputs"]["twice"]) == "[nan, inf]"


def test_versions_labels_and_signatures(rest: Any) -> None:
    body = {"inputs": [2]}
    assert rest("/v1/models/half/versions/1:predict", body)[1]["outputs"]["y"] == [2]
    assert rest("/v1/models/half/labels/stable:predict", body)[1]["outputs"]["y"] == [2]
    body = {"signature_name": "small", "inputs": [2]}
    assert rest("/v1/models/half:predict", body)[1] == {"outputs": [2]}


def test_large_whole_numbers_are_floats_and_extra_columns_are_passed_over(rest: Any) -> None:
    body = {"inputs": {"x": [10**20], "nobody asked": ["for this"]}}
    assert rest("/v1/models/half:predict", body)[1]["outputs"]["twice"] == [2e20]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused_in_json(server: Server, rest: Any, method: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, "/v1/models/half")
        response = connection.getresponse()
        text = response.read()
    assert response.status == 400
    if method != "HEAD":
        assert json.loads(text)["error"] == f"Malformed request: {method} /v1/models/half"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (gzip.compress(b'{"inputs": [2]}'), 200, ""),
        (gzip.compress(b'{"inputs": [2]}')[:-9], 400, "ends too soon"),
        (b'{"inputs": [2]}', 400, "no gzip"),
        (gzip.compress(bytes(65 << 20), 1), 400, "larger than 64 MB"),
    ],
    ids=["whole", "broken off", "none", "bomb"],  # gzip writes the time into its bytes
)
def test_gzip(server: Server, rest: Any, body: bytes, status: int, words: str) -> None:
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/half:predict"
    question = urllib.request.Request(url, body, {"Content-Encoding": "gzip"})
    try:
        with urllib.request.urlopen(question) as response:
            code, answer = response.status, json.load(response)
    except urllib.error.HTTPError as error:
        code, answer = error.code, json.load(error)
    assert code == status
    assert words in answer.get("error", "")
    if status == 200:
        assert answer["outputs"]["twice"] == [4]


@pytest.mark.parametrize("encode", [base64.b64encode, base64.encodebytes])
@pytest.mark.parametrize("padding", ["=", ""])
def test_bytes(rest: Any, png: bytes, encode: Any, padding: str) -> None:
    png += b"\0" * (1 - len(png) % 3)  # so that there is padding
    b64 = {"b64": encode(png).decode().rstrip().replace("=", padding)}
    bodies = [{"instances": [b64]}, {"instances": [{"image_bytes": b64}]}]
    for body in bodies:
        status, answer = rest("/v1/models/pictures:predict", body)
        assert status == 200
        assert answer["predictions"][0]["classes"] == ["dark", "bright"]
    status, answer = rest("/v1/models/painter:predict", {"inputs": {"image_bytes": [b64]}})
    assert base64.b64decode(answer["outputs"]["image_png"][0]["b64"])[1:4] == b"PNG"


def test_status_and_metadata(rest: Any) -> None:
    available = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    status, answer = rest("/v1/models/half")
    assert status == 200
    assert answer["model_version_status"][0] == {"version": "2", **available}
    assert len(answer["model_version_status"]) == 2
    for path in ("/v1/models/half/versions/1", "/v1/models/half/labels/stable"):
        assert rest(path)[1] == {"model_version_status": [{"version": "1", **available}]}
    answer = rest("/v1/models/half/metadata")[1]
    assert answer["model_spec"] == {"name": "half", "signature_name": "", "version": "2"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert rest("/v1/models/half/versions/1/metadata")[1]["model_spec"]["version"] == "1"


@pytest.mark.parametrize("depth", [40, 64, 65, 900, 1020, 3000])
@pytest.mark.parametrize("shape", ['{"inputs":%s}', '{"instances":[%s,%s]}', '{"inputs":{"x":%s}}'])
@pytest.mark.parametrize("model", ["half", "pictures"])
def test_nested_deep(rest: Any, depth: int, shape: str, model: str) -> None:
    body = shape.replace("%s", "[" * depth + "1" + "]" * depth).encode()
    status, answer = rest(f"/v1/models/{model}:predict", body)
    assert status in (200, 400), "x / 2 takes arrays of up to 64 dimensions"
    assert status == 200 or answer["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/models/no:predict", {"inputs": [1]}, 404, "Latest(no)"),
        ("/v1/models/half/versions/9:predict", {"inputs": [1]}, 404, "Specific(half, 9)"),
        ("/v1/models/half/labels/old:predict", {"inputs": [1]}, 400, "label: old"),
        ("/v1/models/half:predict", b"{", 400, "JSON Parse error"),
        ("/v1/models/half:predict", b"\n", 400, "JSON Parse error"),
        ("/v1/models/half:predict", b"[" * 100_000, 400, "JSON Parse error"),
        ("/v1/models/half:predict", b"[1]", 400, "must be an object"),
        ("/v1/models/half:predict", {"outputs": 1}, 400, "Missing 'inputs' or 'instances'"),
        ("/v1/models/half:predict", {"instances": []}, 400, "at least one"),
        ("/v1/models/half:predict", {"instances": [{"x": 1}, {"z": 1}]}, 400, "same keys"),
        ("/v1/models/half:predict", {"inputs": {"z": [1]}}, 400, "required: {x}"),
        ("/v1/models/half:predict", {"instances": [{"x": 1, "z": 1}]}, 400, "named input: z"),
        ("/v1/models/half:predict", {"inputs": [1.5, True]}, 400, "not of expected type"),
        ("/v1/models/half:predict", {"inputs": ["1.5"]}, 400, "not of expected type"),
        ("/v1/models/half:predict", {"inputs": ["a"]}, 400, "input 'x'"),
        ("/v1/models/half:predict", {"inputs": [10**400]}, 400, "input 'x'"),
        ("/v1/models/half:predict", {"inputs": [[1], [1, 2]]}, 400, "input 'x'"),
        ("/v1/models/half:predict", {"instances": [{"x": 1}, 2]}, 400, "object but got list"),
        ("/v1/models/half:predict", {"instances": [2, {"x": 1}]}, 400, "list but got object"),
        ("/v1/models/half:predict", {"instances": [1], "inputs": [1]}, 400, "only one of"),
        ("/v1/models/half:predict", {"inputs": [[1, 2], [[3], [4]]]}, 400, "Expecting shape"),
        ("/v1/models/half:predict", {"signature_name": 1, "inputs": [1]}, 400, "signature_name"),
        ("/v1/models/half:predict", {"signature_name": "s", "inputs": [1]}, 400, '"s" not found'),
        ("/v1/models/pictures:predict", {"inputs": [{"b64": "?"}]}, 400, "not base64"),
        ("/v1/models/pictures:predict", {"inputs": [{"b65": ""}]}, 400, "b64"),
        ("/v1/models/pictures:predict", {"inputs": [["a"], "b"]}, 400, "Expecting shape"),
        ("/v1/models/half/versions/99999999999999999999", None, 400, "to numeric"),
        ("/elsewhere", None, 404, "nothing is at /elsewhere"),
        ("/v1/models/no", None, 404, "Could not find any versions of model no"),
        ("/v1/models/half/versions/9", None, 404, "Could not find version 9"),
        ("/v1/models/no/metadata", None, 404, "Latest(no)"),
        ("/v1/nonsense", None, 400, "Malformed request: GET /v1/nonsense"),
        ("/v1/models/half:predict", None, 400, "Malformed request: GET"),
    ],
)
def test_refusals(rest: Any, path: str, body: Any, status: int, words: str) -> None:
    code, answer = rest(path, body)
    assert code == status
    assert words in answer["error"]
    assert "\n" not in answer["error"]
