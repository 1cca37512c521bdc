"""A load generator in a process of its own; benchmarks/serving.py sends it lines of JSON.

Requests are made before the clock starts and answers stay unparsed, so that the generator takes as
little as it can of the machine that it shares with the server. One line in starts a run, the next
ends it:

    {"address": "127.0.0.1:8500", "requests": ["BASE64", ...], "in_flight": 32, "rate": null}
    stop

An address that starts with http:// is asked by POST, another by gRPC. With a rate (requests a
second) requests leave on time whatever becomes of those before, and latency counts from the time
they should have left. One line comes out when all answers are there: requests, seconds, p50 and p99
in ms, and how often each error came.
"""

import asyncio
import base64
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import grpc

Call = Callable[[bytes], Awaitable[None]]
DEADLINE = 30.0  # seconds for a request


class GrpcTarget:
    """PredictionService/Predict."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(
            address, options=[("grpc.max_receive_message_length", -1)]
        )
        self.predict = self.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

    async def call(self, request: bytes) -> None:
        await self.predict(request, timeout=DEADLINE)

    async def close(self) -> None:
        await self.channel.close()


class HttpTarget:
    """POST over as many kept connections as there are requests under way."""

    def __init__(self, address: str) -> None:
        self.url = urlsplit(address)
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, body: bytes) -> None:
        while self.free:
            reader, writer = self.free.pop()
            if not reader.at_eof():
                break
            writer.close()  # the server has closed it, unused for long
        else:
            reader, writer = await asyncio.open_connection(self.url.hostname, self.url.port)
        head = (
            f"POST {self.url.path} HTTP/1.1\r\nHost: {self.url.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        head, text = await asyncio.wait_for(self._answer(reader), DEADLINE)
        self.free.append((reader, writer))
        status = head.split()[1]
        if status != "200":
            raise RuntimeError(f"{status} {text[:200].decode(errors='replace')}")

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.split("content-length:")[1].split("\r\n")[0]
        return head, await reader.readexactly(int(length))

    async def close(self) -> None:
        for _, writer in self.free:
            writer.close()


class Run:
    """The requests of one run, and their results."""

    def __init__(self, call: Call, requests: list[bytes]) -> None:
        self.call = call
        self.requests = cycle(requests)
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()
        self.stopped = asyncio.Event()

    async def one(self, due: float) -> None:
        try:
            await self.call(next(self.requests))
        except grpc.aio.AioRpcError as error:
            self.errors[f"{error.code().name}: {error.details()}"] += 1
        except Exception as error:
            self.errors[f"{type(error).__name__}: {error}"] += 1
        self.latencies.append(time.perf_counter() - due)

    async def closed_loop(self, in_flight: int) -> None:
        async def again() -> None:
            while not self.stopped.is_set():
                await self.one(time.perf_counter())

        await asyncio.gather(*(again() for _ in range(in_flight)))

    async def paced(self, rate: float) -> None:
        under_way: set[asyncio.Task[None]] = set()
        due = time.perf_counter()
        while not self.stopped.is_set():
            await asyncio.sleep(due - time.perf_counter())
            task = asyncio.create_task(self.one(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            due += 1 / rate
        if under_way:
            await asyncio.wait(under_way)


async def run(job: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
    """Ask until `stop`."""
    kind = HttpTarget if job["address"].startswith("http://") else GrpcTarget
    target = kind(job["address"])
    result = Run(target.call, [base64.b64decode(request) for request in job["requests"]])

    async def watch() -> None:
        while not stop.is_set():
            await asyncio.sleep(0.02)
        result.stopped.set()

    started = time.perf_counter()
    rate = job["rate"]
    await asyncio.gather(
        watch(), result.paced(rate) if rate else result.closed_loop(job["in_flight"])
    )
    seconds = time.perf_counter() - started
    await target.close()
    ranked = sorted(result.latencies)
    return {
        "requests": len(ranked),
        "seconds": seconds,
        "p50": 1000 * ranked[len(ranked) // 2],
        "p99": 1000 * ranked[int(len(ranked) * 0.99)],
        "errors": dict(result.errors),
    }


def main() -> None:
    lines = iter(sys.stdin)
    for line in lines:
        stop = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            ended = thread.submit(lambda: asyncio.run(run(json.loads(line), stop)))  # noqa: B023
            next(lines)
            stop.set()
            print(json.dumps(ended.result()), flush=True)


if __name__ == "__main__":
    main()
