"""The client against a model server: its calls, and what its errors say."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celflow.errors import UserError
from serving.client import (
    BadInput,
    Client,
    LoadFailed,
    ModelNotFound,
    Prediction,
    ServerDown,
    ServerError,
    TensorInfo,
    default_address,
)

from .model_server import Repository, Server, free_port, model_config


@pytest.fixture(scope="module")
def pictures(
    server: Server, saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A client of a server with `pictures` 3 (stable), `painter` and `half`."""
    folder = tmp_path_factory.mktemp("repository")
    Repository(saved_models, folder / "pictures").add(3, "pictures")
    Repository(saved_models, folder / "painter").add(1, "painter")
    Repository(saved_models, folder / "half").add(1, "half_plus_1")
    config = model_config(
        {"name": "pictures", "base_path": folder / "pictures", "labels": {"stable": 3}},
        {"name": "painter", "base_path": folder / "painter"},
        {"name": "half", "base_path": folder / "half"},
    )
    with Client(server.address) as client:
        client.reload_config(config)
        yield client


def test_predict(pictures: Client, png: bytes) -> None:
    answer = pictures.predict("pictures", [png, png])
    assert (answer.model, answer.version) == ("pictures", 3)
    assert answer.outputs["scores"].dtype == np.float32
    assert answer.outputs["classes"].tolist() == [[b"dark", b"bright"]] * 2
    assert answer.milliseconds > 0


def test_classify_sorts_best_first(pictures: Client, png: bytes) -> None:
    for version in (None, 3, "stable"):
        first, second = pictures.classify("pictures", [png, png], version)
        assert first == second
        assert first.names == ("bright", "dark")
        assert (first.name, first.score) == ("bright", pytest.approx(0.8))
        assert first.scores[1] == pytest.approx(0.2)


def test_a_verdict_is_the_models_or_the_best_name(pictures: Client, png: bytes) -> None:
    answer = pictures.predict("pictures", [png, png])
    assert [one.verdict for one in answer.classifications()] == ["bright", "bright"]
    verdict = np.array([b"unsure", b"bright"], object)
    judged = Prediction("m", 1, {**answer.outputs, "verdict": verdict}, 1.0)
    assert [one.verdict for one in judged.classifications()] == ["unsure", "bright"]


def test_faces_of_a_detectors_answer() -> None:
    boxes = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    scores = np.array([[0.9, 0.5, 0], [0, 0, 0]], np.float32)
    outputs = {"boxes": boxes, "scores": scores, "count": np.array([2, 0], np.int32)}
    one, none = Prediction("m", 1, outputs, 1.0).faces()
    assert [face.box for face in one] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert [face.score for face in one] == [pytest.approx(0.9), 0.5] and none == []
    with pytest.raises(BadInput, match="m is not a face detector: it answers count, scores, not b"):
        Prediction("m", 1, {k: v for k, v in outputs.items() if k != "boxes"}, 1.0).faces()
    with pytest.raises(ServerError, match=r"m answers boxes \[2, 3, 4\] for scores \[2, 2\]"):
        Prediction("m", 1, {**outputs, "scores": scores[:, :2]}, 1.0).faces()


def test_embed_and_draw(pictures: Client, png: bytes) -> None:
    encodings = pictures.embed("pictures", [png, png])
    assert encodings.shape == (2, 2)
    assert np.linalg.norm(encodings, axis=1) == pytest.approx(1)
    drawn = pictures.draw("painter", png).output("image_png")
    assert drawn[0][1:4] == b"PNG"


def test_metadata_and_status(pictures: Client) -> None:
    signatures = pictures.metadata("pictures", "stable")
    assert set(signatures) == {"serving_default", "embed"}
    signature = signatures["serving_default"]
    assert signature.inputs == {"image_bytes": TensorInfo("string", (None,))}
    assert signature.outputs["scores"] == TensorInfo("float32", (None, 2))
    status, *_ = pictures.status("pictures")
    assert (status.version, status.state, status.error) == (3, "AVAILABLE", "")
    assert pictures.healthy()
    pictures.wait_available("pictures", 3, 1)


@pytest.mark.parametrize(
    ("ask", "kind", "words"),
    [
        (lambda c, png: c.predict("no", [png]), ModelNotFound, "does not serve no "),
        (lambda c, png: c.predict("half", [png], 7), ModelNotFound, "half version 7"),
        (lambda c, png: c.predict("half", [png], "old"), ModelNotFound, "half labelled old"),
        (lambda c, png: c.metadata("no"), ModelNotFound, "does not serve no "),
        (lambda c, png: c.status("no"), ModelNotFound, "does not serve no "),
        (lambda c, png: c.predict("", [png]), BadInput, "no name"),
        (lambda c, png: c.predict("half", [png]), BadInput, "Missing but required: {x}"),
        (lambda c, png: c.predict("pictures", [b"no image"]), BadInput, "image"),
        (lambda c, png: c.predict("pictures", []), BadInput, "no image to send"),
        (lambda c, png: c.predict("pictures", png), BadInput, "must be a list"),
        (lambda c, png: c.predict("pictures", ["name.png"]), BadInput, "must be a list"),
        (lambda c, png: c.classify("painter", [png]), BadInput, "painter is not a classifier"),
        (lambda c, png: c.draw("pictures", png, strength=1.0), BadInput, "has no strength"),
        (lambda c, png: c.embed("painter", [png]), BadInput, '"embed" not found'),
        (lambda c, png: c.run("half", {"x": np.array([1j])}), BadInput, "complex128"),
        (lambda c, png: c.wait_available("no", 1, 0.1), ServerError, "does not know it"),
    ],
)
def test_errors_say_what_is_wrong(
    pictures: Client, png: bytes, ask: Any, kind: type[ServerError], words: str
) -> None:
    with pytest.raises(kind) as refusal:
        ask(pictures, png)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    codes = ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "DEADLINE_EXCEEDED")
    assert refusal.value.code in codes
    assert isinstance(refusal.value, UserError)


def test_server_down() -> None:
    address = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    with Client(address) as client:
        with pytest.raises(ServerDown) as refusal:
            client.predict("half", [b""])
        assert not client.healthy()
    assert str(refusal.value) == (
        f"no model server answers at {address}: start one with `celflow up` or `celflow serve`, "
        "or name another with --server"
    )
    assert refusal.value.code == "UNAVAILABLE"
    assert time.monotonic() - started < 3


def test_default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELFLOW_SERVER", raising=False)
    assert default_address() == "127.0.0.1:8500"
    monkeypatch.setenv("CELFLOW_SERVER", "models.example:80")
    assert default_address() == "models.example:80"


def test_proxy_of_the_environment_is_not_used_for_loopback(
    pictures: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with Client(pictures.address) as client:
        assert client.status("half")


def test_scores_and_classes_must_match() -> None:
    outputs = {"scores": np.zeros((1, 3), np.float32), "classes": np.zeros((1, 2), object)}
    with pytest.raises(ServerError, match=r"scores \[1, 3\] for classes \[1, 2\]"):
        Prediction("m", 1, outputs, 1.0).classifications()


def test_error_kinds() -> None:
    assert issubclass(LoadFailed, ServerError)
    assert issubclass(ServerError, UserError)
