"""How far is the model server from the limits of its machine, and from other servers?

Closed loop, 32 single-image requests in flight, from a load generator in a process of its own, on
the models below exports/ (or a small one built here). Both sides of a ratio are measured in this
run, interleaved, on the same model and the same images. `--backend docker` measures TensorFlow
Serving. Flags of the server come last: `-- --tensorflow_intra_op_parallelism=1`.
"""

import argparse
import base64
import importlib.util
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # or this file would be the package `serving`
from benchmarks.parts.harness import IN_FLIGHT, MODELS, Bench, Worker, predict_request
from benchmarks.parts.other_servers import OTHER_SERVERS
from celflow import errors
from serving import backends
from serving.client import ServerError
from serving.protos import predict_pb2
from serving.tensors import to_proto

Row = tuple[str, str, str, str, str]  # measurement, result, compared with, ratio, aim


def throughput(bench: Bench) -> Iterator[Row]:
    """Single images over the network, against ready batches in a loop."""
    for name, folder in bench.models.items():
        limits, rates, error_note = [], [], ""
        with bench.server({name: [folder]}) as server:
            for _ in range(bench.rounds):
                job = {"folder": str(folder), "images": bench.encoded, "seconds": bench.seconds}
                limits.append(bench.bare.ask(do="throughput", **job)["rate"])
                outcome = bench.ask(server.address, bench.requests(name))
                rates.append(outcome.rate)
                error_note = error_note or outcome.error_note
        ratio = statistics.median(a / b for a, b in zip(rates, limits, strict=True))
        limit = f"{statistics.median(limits):.0f}/s in-process, batches of {IN_FLIGHT}"
        yield (
            f"{name}: throughput", f"{statistics.median(rates):.0f}/s{error_note}", limit,
            f"{ratio:.2f}", "0.90",
        )  # fmt: skip


def overhead(bench: Bench) -> Iterator[Row]:
    """The server's own cost: a model that does next to nothing, against an echo server."""
    ask = [predict_request("half_plus", "x", np.float32([1, 2, 3]))]
    with (
        bench.server({"half_plus": [bench.half_plus]}) as server,
        Worker("echo", bench.scratch / "echo.log") as echo,
    ):
        answer = predict_pb2.PredictResponse()
        answer.model_spec.name, answer.model_spec.signature_name = "half_plus", "serving_default"
        answer.model_spec.version.value = 1
        answer.outputs["y"].CopyFrom(to_proto(np.float32([2.5, 3, 3.5]), typed=True))
        echo.send(base64.b64encode(answer.SerializeToString()).decode())
        echo_address = f"127.0.0.1:{int(echo.receive())}"
        pairs = []
        for _ in range(bench.rounds):
            bare = bench.ask(echo_address, ask)
            ours = bench.ask(server.address, ask)
            pairs.append((ours.rate, bare.rate))
        error_note = ours.error_note
    ratio = statistics.median(a / b for a, b in pairs)
    rate, limit = (statistics.median(column) for column in zip(*pairs, strict=True))
    yield (
        "x/2 + 2: throughput", f"{rate:.0f}/s{error_note}", f"{limit:.0f}/s of a bare grpcio echo",
        f"{ratio:.2f}", "0.60",
    )  # fmt: skip


def latency(bench: Bench) -> Iterator[Row]:
    """p99 of each API at half of its highest throughput, against one call in-process."""
    for name, folder in bench.models.items():
        job = {"folder": str(folder), "images": bench.encoded, "seconds": bench.seconds}
        call = bench.bare.ask(do="latency", **job)["p50"]
        with bench.server({name: [folder]}) as server:
            rest = f"{server.rest_address}/v1/models/{name}:predict"
            for api, address, requests in (
                ("gRPC", server.address, bench.requests(name)),
                ("REST", rest, bench.json_requests()),
            ):
                most = bench.ask(address, requests, seconds=min(5, bench.seconds))
                # Five requests are slower than p99; of several times, the middle one: a neighbour
                # that takes the machine for a moment is in none or in one of them.
                seconds = max(bench.seconds, 500 / most.rate)
                halves = sorted(
                    (bench.ask(address, requests, most.rate / 2, seconds)
                     for _ in range(bench.rounds)), key=lambda outcome: outcome.p99,
                )  # fmt: skip
                half = halves[len(halves) // 2]
                yield (
                    f"{name}: p99 of {api} at {half.rate:.0f}/s",
                    f"{half.p99:.1f} ms{half.error_note}",
                    f"{call:.1f} ms, one call in-process", f"{half.p99 / call:.2f}", "at most 3",
                )  # fmt: skip


def many_models(bench: Bench) -> Iterator[Row]:
    """What a second and a ninth model cost."""
    name, folder = next(iter(bench.models.items()))
    names = [name, *(f"{name}_{number}" for number in range(2, 10))]
    counts = (1, 2, 9)
    bare, idle, rates = {}, {}, {}
    with Worker("inprocess", bench.scratch / "bare.log") as process:
        copies = [bench.scratch / "copies" / str(number) for number in range(9)]
        for copy in copies:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
        for count in counts:
            process.ask(do="load", folders=[str(copy) for copy in copies[:count]])
            bare[count] = process.megabytes()
    with bench.server({name: [folder]}) as server:
        for one in names[1:]:
            shutil.copytree(folder, server.served / one / "1")
        for count in counts:
            server.serve(dict.fromkeys(names[:count], 1))
            idle[count] = server.process.megabytes()
        for count in reversed(counts):
            server.serve(dict.fromkeys(names[:count], 1))
            rates[count] = bench.ask(server.address, bench.requests(name)).rate
    for count in counts:
        yield (
            f"{count} loaded: idle memory", f"{idle[count]:.0f} MB",
            f"{bare[count]:.0f} MB in bare TensorFlow", f"{idle[count] / bare[count]:.2f}",
            "at most 1.3",
        )  # fmt: skip
    for count in counts[1:]:
        yield (
            f"{count} loaded: throughput of the first", f"{rates[count]:.0f}/s",
            f"{rates[1]:.0f}/s alone", f"{rates[count] / rates[1]:.2f}", "1",
        )  # fmt: skip


def version_changes(bench: Bench) -> Iterator[Row]:
    """Requests while versions change, against the same requests while they don't."""
    changes, least = bench.version_changes, bench.requests_meanwhile
    ask = [predict_request("half_plus", "x", np.float32([1, 2, 3]))]
    with bench.server({"half_plus": [bench.half_plus, bench.half_plus]}) as server:
        pace = bench.ask(server.address, ask, seconds=2).rate
        calm = bench.ask(server.address, ask, seconds=least / pace)
        bench.start(server.address, ask, IN_FLIGHT)
        due = time.monotonic()
        try:
            for change in range(changes):
                server.serve({"half_plus": 2 - change % 2})
                due += 1.5 * least / pace / changes  # changes slow the requests down
                time.sleep(max(0, due - time.monotonic()))
        except ServerError as error:
            raise errors.UserError(f"a version change failed: {error}") from None
        finally:
            busy = bench.stop()
    yield (
        f"{changes} version changes: errors", f"{sum(busy.errors.values())}{busy.error_note}",
        f"{busy.requests} requests", "", "0",
    )  # fmt: skip
    yield (
        f"{changes} version changes: p99", f"{busy.p99:.1f} ms",
        f"{calm.p99:.1f} ms without", f"{busy.p99 / calm.p99:.2f}", "at most 3",
    )  # fmt: skip


def other_servers(bench: Bench) -> Iterator[Row]:
    """Others that serve the same SavedModel, each with the batching that it has."""
    for name, folder in bench.models.items():
        with bench.server({name: [folder]}) as server:
            ours = bench.ask(server.address, bench.requests(name)).rate
        for title, measure in OTHER_SERVERS.items():
            what, aim = f"{name}: throughput over {title}", "2"
            if importlib.util.find_spec(title) is None:
                yield what, f"{ours:.0f}/s", "not installed", "", aim
                continue
            theirs = measure(bench, folder)
            yield (
                what, f"{ours:.0f}/s", f"{theirs.rate:.0f}/s{theirs.error_note}",
                f"{ours / theirs.rate:.2f}" if theirs.rate else "", aim,
            )  # fmt: skip


MEASUREMENTS = {
    measure.__name__: measure
    for measure in (throughput, overhead, latency, many_models, version_changes, other_servers)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="some of %(default)s")
    parser.add_argument("--exports", type=Path, default=Path("exports"), help="trained models")
    parser.add_argument(
        "--models", type=lambda names: names.split(","), default=MODELS, help="of these folders"
    )
    parser.add_argument(
        "--backend", type=backends.Backend, default=backends.Backend.embedded,
        help="auto, binary, docker or embedded (default: embedded)",
    )  # fmt: skip
    parser.add_argument("flags", nargs="*", help="after --: more flags of the server")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started ends, too
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - set(MEASUREMENTS):
        parser.error(f"no measurement {', '.join(unknown)}: choose of {', '.join(MEASUREMENTS)}")
    if arguments.backend is backends.Backend.auto:
        arguments.backend = backends.first()
    table = Table("measurement", "measured", "compared with", "ratio", "aim")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        bench = Bench(arguments, Path(name), stack)
        for one in chosen:
            for row in MEASUREMENTS[one](bench):
                print(" | ".join(row), flush=True)
                table.add_row(*row)
            table.add_section()
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    errors.run(main)
