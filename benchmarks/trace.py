"""Where does a request wait? A stamp at each step of single-picture requests, by gRPC.

The server runs with its own flags and `serving/config/batching.config`; requests leave on time at
half of what it answers in a closed loop, from a process of their own. Prints what each step takes
in the middle, in the slowest hundredth, and its share of the slowest requests' time:

    python benchmarks/trace.py [MODEL] [--requests 400]  (of exports/; else a small one built here)
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # or serving.py beside this file would be the package `serving`

ID = "celflow-trace"
METHOD = "/tensorflow.serving.PredictionService/Predict"
# Each stamp ends the step of this name; times are of one clock, CLOCK_MONOTONIC.
STEPS = {
    "handled": "network, parsing, waiting for a thread",
    "queued": "reading the tensors",
    "taken": "waiting for the batch to start",
    "run": "running the graph",
    "woken": "waking the request's thread",
    "answered": "building the answer",
    "received": "network, the client's thread",
}


def serve(stamps: str, arguments: list[str]) -> None:
    """The model server with a stamp at each step, written to `stamps` at its end."""
    from serving.server import __main__ as server
    from serving.server.api import grpc_api
    from serving.server.runtime import batching

    seen: dict[str, dict[str, float]] = {}

    class Here(threading.local):
        id: str | None = None  # None for a warm-up request

    here = Here()

    def stamp(one: str | None, name: str) -> None:
        if one is not None:
            seen.setdefault(one, {})[name] = time.monotonic()

    method = grpc_api._method

    def traced_method(handler: Any, budget: Any) -> Any:
        inner = method(handler, budget)

        def call(request: Any, context: grpc.ServicerContext) -> Any:
            here.id = dict(context.invocation_metadata()).get(ID)
            stamp(here.id, "handled")
            try:
                return inner(request, context)
            finally:
                stamp(here.id, "answered")

        return call

    queue_call, run_batch, task_init = (
        batching.Queue.__call__, batching.Queue.run_batch, batching._Task.__init__,
    )  # fmt: skip
    outputs = batching.Queue._outputs

    def traced_queue(self: Any, inputs: Any, deadline: Any) -> Any:
        stamp(here.id, "queued")
        answer = queue_call(self, inputs, deadline)
        stamp(here.id, "woken")
        return answer

    def traced_task(self: Any, *words: Any) -> None:
        task_init(self, *words)
        self.id = here.id

    def traced_batch(self: Any, tasks: Any) -> None:
        for task in tasks:
            stamp(task.id, "taken")
        run_batch(self, tasks)

    def traced_outputs(self: Any, tasks: Any) -> Any:
        answer = outputs(self, tasks)
        for task in tasks:
            stamp(task.id, "run")
        return answer

    grpc_api._method = traced_method
    batching.Queue.__call__ = traced_queue
    batching.Queue.run_batch = traced_batch
    batching.Queue._outputs = traced_outputs
    batching._Task.__init__ = traced_task
    sys.argv = ["serving.server", *arguments]
    try:
        server.main()
    finally:
        Path(stamps).write_text(json.dumps(seen))


def wait_for(call: Any, request: bytes) -> None:
    """Until the model is loaded."""
    ends = time.monotonic() + 180
    while True:
        try:
            call(request, timeout=30, wait_for_ready=True)
            return
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > ends:
                raise
        time.sleep(0.2)


def closed_loop(call: Any, requests: list[bytes], seconds: float, in_flight: int = 32) -> float:
    """Answers a second."""
    answered = [0] * in_flight
    ends = time.monotonic() + seconds

    def work(number: int) -> None:
        while time.monotonic() < ends:
            call(requests[(number + answered[number]) % len(requests)], timeout=30)
            answered[number] += 1

    threads = [threading.Thread(target=work, args=[number]) for number in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / seconds


def on_time(call: Any, requests: list[bytes], count: int, rate: float) -> dict[str, Any]:
    """Send `count` requests, `rate` a second; id to when it was sent and received."""
    sent: dict[str, float] = {}
    received: dict[str, float] = {}
    futures: list[Future[Any]] = []
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        one = str(number)
        sent[one] = time.monotonic()
        future = call.future(requests[number % len(requests)], timeout=30, metadata=[(ID, one)])
        future.add_done_callback(lambda _, one=one: received.setdefault(one, time.monotonic()))
        futures.append(future)
    for future in futures:
        future.result()
    time.sleep(0.1)  # the last callback
    return {one: {"sent": sent[one], "received": received[one]} for one in sent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="xception")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the closed loop")
    chosen = parser.parse_args()
    from benchmarks.parts import inprocess
    from benchmarks.parts.harness import free_ports, predict_request, sample_images

    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        name, folder = chosen.model, ROOT / "exports" / chosen.model / "saved_model"
        if not folder.is_dir():
            name, folder = "small", scratch / "built"
            inprocess.build("small", str(folder))
        shutil.copytree(folder, scratch / "models" / name / "1")
        requests = [
            predict_request(name, "image_bytes", np.array([data], object))
            for data in sample_images()
        ]
        port, stamps = free_ports(1)[0], scratch / "stamps.json"
        words = [f"--port={port}", "--rest_api_port=0", f"--model_name={name}",
                 f"--model_base_path={scratch}/models/{name}", "--enable_batching",
                 f"--batching_parameters_file={ROOT}/serving/config/batching.config"]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(stamps), *words], cwd=ROOT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = channel.unary_unary(METHOD)
                wait_for(call, requests[0])
                alone = []
                for data in requests[:50]:
                    started = time.monotonic()
                    call(data)
                    alone.append(time.monotonic() - started)
                rate = closed_loop(call, requests, chosen.seconds)
                times = on_time(call, requests, chosen.requests, rate / 2)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        for one, stamped in json.loads(stamps.read_text()).items():
            times[one].update(stamped)
    show(name, rate, float(np.median(alone)), list(times.values()))


def show(name: str, rate: float, alone: float, times: list[dict[str, float]]) -> None:
    stamps = ["sent", *STEPS]
    table = np.array([[one[stamp] for stamp in stamps] for one in times])
    steps = 1000 * np.diff(table, axis=1)
    whole = steps.sum(1)
    slowest = whole >= np.quantile(whole, 0.95)
    title = (
        f"{name}: {len(times)} requests, {rate / 2:.0f} a second (half of {rate:.0f}); "
        f"one alone {1000 * alone:.1f} ms"
    )
    rows = Table("step", "p50 ms", "p99 ms", "share of the slowest 5 %", title=title)
    for words, column in zip(STEPS.values(), steps.T, strict=True):
        share = column[slowest].sum() / whole[slowest].sum()
        low, high = np.quantile(column, [0.5, 0.99])
        rows.add_row(words, f"{low:.2f}", f"{high:.2f}", f"{share:.0%}")
    low, high = np.quantile(whole, [0.5, 0.99])
    rows.add_section()
    rows.add_row(
        "whole", f"{low:.2f}", f"{high:.2f}", f"p99 is {high / (1000 * alone):.1f} x alone"
    )
    Console().print(rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], sys.argv[3:])
    else:
        main()
