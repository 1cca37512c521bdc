"""Thousands of images in order, a bounded number of requests at a time."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.client import (
    BadInput,
    Client,
    Prediction,
    ServerDown,
)
from serving.protos import predict_pb2, prediction_service_pb2_grpc
from serving.tensors import to_proto

from .grpc_services import served
from .model_server import free_port


class Counting(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the number in `image_bytes`, later ones sooner, and counts who is there."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.here = self.most = 0

    def Predict(self, request: Any, context: Any) -> Any:
        with self.lock:
            self.here += 1
            self.most = max(self.most, self.here)
        number = request.inputs["image_bytes"].string_val[0]
        if number.isdigit():
            time.sleep(0.02 / (1 + int(number) % 5))
        with self.lock:
            self.here -= 1
        if not number.isdigit():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a number")
        response = predict_pb2.PredictResponse()
        response.outputs["y"].CopyFrom(to_proto(np.array([number], object)))
        return response


@pytest.fixture
def counting() -> Iterator[tuple[Counting, Client]]:
    service = Counting()
    with served(service) as address, Client(address, timeout=5) as client:
        yield service, client


def number(answer: Prediction | BadInput) -> int:
    assert isinstance(answer, Prediction)
    return int(answer.outputs["y"][0])


def test_predict_many_keeps_the_order_and_bounds_the_flight(
    counting: tuple[Counting, Client],
) -> None:
    service, client = counting
    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for taken in range(100):
            yield str(taken).encode()

    answers = client.predict_many("m", images(), in_flight=4)
    for index, answer in enumerate(answers):
        assert number(answer) == index
        assert taken <= index + 4, "images are read as answers are taken"
    assert index == 99
    assert 2 <= service.most <= 4


def test_predict_many_takes_files_and_names_those_that_fail(
    counting: tuple[Counting, Client], tmp_path: Path
) -> None:
    good, bad, missing = (tmp_path / name for name in ("good", "bad", "missing"))
    good.write_bytes(b"1")
    bad.write_bytes(b"no")
    answers = list(counting[1].predict_many("m", [good, bad, missing, b"4"]))
    assert (number(answers[0]), number(answers[3])) == (1, 4)
    assert str(answers[1]) == f"{bad}: the model server refuses m: not a number"
    assert str(answers[2]) == f"{missing} cannot be read: no such file or directory"


def test_predict_many_stops_when_nobody_takes_answers(counting: tuple[Counting, Client]) -> None:
    answers = counting[1].predict_many("m", (b"%d" % n for n in range(10**9)), in_flight=4)
    assert number(next(answers)) == 0
    answers.close()


def test_predict_many_raises_what_is_not_one_images_fault() -> None:
    with Client(f"127.0.0.1:{free_port()}", patience=0.1) as client, pytest.raises(ServerDown):
        list(client.predict_many("m", [b"1"] * 50))
