"""How far is the model server from the limits of its machine, and from others that serve?

Closed loop, 32 single-image requests in flight, from a load generator in a process of its own, on
the models below exports/ (or a small one built here). Every ratio is of figures taken in this run,
in turns, on the same model and the same images. `--backend docker` measures TensorFlow Serving.
Flags of the server come last: `-- --tensorflow_intra_op_parallelism=1`.
"""

import argparse
import base64
import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from google.protobuf import text_format
from PIL import Image
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # or this file would be the package `serving`
from celflow import errors
from serving import backends
from serving.client import Client, ServerError
from serving.protos import model_server_config_pb2, predict_pb2
from serving.tensors import to_proto

PARTS = Path(__file__).parent / "parts"
SETTINGS = sorted((Path(__file__).parents[1] / "serving/config").glob("*.config"))
MODELS = ("xception", "character_cnn")
IN_FLIGHT = 32
START_SECONDS = 180.0

Row = tuple[str, str, str, str, str]  # figure, measured, compared with, ratio, aim


class Process:
    """A program that runs until the block ends; what it prints goes into `log`."""

    def __init__(self, command: Sequence[object], log: Path, **options: Any) -> None:
        with log.open("ab") as file:
            self.popen = subprocess.Popen(
                [str(word) for word in command], stderr=file, start_new_session=True,
                **{"stdout": file, "stdin": subprocess.DEVNULL, **options},
            )  # fmt: skip
        self.log = log

    def __enter__(self) -> "Any":
        return self

    def __exit__(self, *exc: object) -> None:
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.popen.pid, how)
                self.popen.wait(20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue

    def wait_for(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                tail = " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])
                raise errors.UserError(f"{self.log.stem} does not start: {tail}")
            time.sleep(0.2)

    def megabytes(self) -> float:
        """Memory of it and its descendants, shared pages counted once."""
        top = psutil.Process(self.popen.pid)
        infos = [one.memory_full_info() for one in (top, *top.children(recursive=True))]
        return sum(getattr(info, "pss", info.rss) for info in infos) / 1e6


class Worker(Process):
    """One of parts/, which takes and gives lines of JSON."""

    def __init__(self, name: str, log: Path) -> None:
        command = [sys.executable, PARTS / f"{name}.py"]
        super().__init__(command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, line: str) -> None:
        assert self.popen.stdin is not None
        print(line, file=self.popen.stdin, flush=True)

    def hear(self) -> str:
        assert self.popen.stdout is not None
        line = str(self.popen.stdout.readline())
        if not line:
            raise errors.UserError(f"{self.log.stem} ended: {self.log.read_text()[-500:]}")
        return line

    def ask(self, **job: Any) -> dict[str, Any]:
        self.say(json.dumps(job))
        return dict(json.loads(self.hear()))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the load generator saw; milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: dict[str, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return (self.requests - sum(self.errors.values())) / self.seconds

    @property
    def trouble(self) -> str:
        """The commonest error, or nothing."""
        worst = max(self.errors, key=lambda error: self.errors[error], default="")
        return f"; {sum(self.errors.values())} errors, such as {worst[:120]}" if worst else ""


class Bench:
    """What all figures share: folders, images, the generator, a bare TensorFlow process."""

    def __init__(self, words: argparse.Namespace, scratch: Path, stack: ExitStack) -> None:
        self.scratch = scratch
        self.backend: backends.Backend = words.backend
        self.flags: list[str] = words.flags
        self.seconds = 2.0 if words.quick else 10.0
        self.rounds = 1 if words.quick else 5
        self.swaps = (5, 500) if words.quick else (20, 10_000)
        self.images = pictures()
        self.load = stack.enter_context(Worker("load", scratch / "load.log"))
        self.bare = stack.enter_context(Worker("inprocess", scratch / "inprocess.log"))
        self.half_plus = self.built("half_plus")
        found = {name: words.exports / name / "saved_model" for name in MODELS}
        self.models = {name: folder for name, folder in found.items() if folder.is_dir()}
        if not self.models:
            self.models = {"small": self.built("small")}

    def built(self, kind: str) -> Path:
        folder = self.scratch / "built" / kind
        self.bare.ask(do="build", kind=kind, folder=str(folder))
        return folder

    @property
    def encoded(self) -> list[str]:
        return [base64.b64encode(image).decode() for image in self.images]

    def requests(self, model: str) -> list[bytes]:
        """A PredictRequest an image."""
        return [request(model, "image_bytes", np.array([image], object)) for image in self.images]

    def start(
        self, address: str, requests: Sequence[bytes], in_flight: int = 0, rate: float = 0
    ) -> None:
        """Ask without end."""
        encoded = [base64.b64encode(one).decode() for one in requests]
        job = {"address": address, "requests": encoded, "in_flight": in_flight, "rate": rate}
        self.load.say(json.dumps(job))

    def stop(self) -> Outcome:
        """End what was started."""
        self.load.say("stop")
        return Outcome(**json.loads(self.load.hear()))

    def ask(
        self, address: str, requests: Sequence[bytes], rate: float = 0, seconds: float = 0
    ) -> Outcome:
        """Ask for some seconds, the first second not counted."""
        for length in (1.0, seconds or self.seconds):
            self.start(address, requests, IN_FLIGHT, rate)
            time.sleep(length)
            outcome = self.stop()
        return outcome

    @contextmanager
    def server(self, versions: dict[str, list[Path]]) -> Iterator["Server"]:
        """A model server, with folders for the versions 1, 2 ... of each model."""
        served = self.scratch / "served"
        shutil.rmtree(served, ignore_errors=True)
        for name, folders in versions.items():
            for number, folder in enumerate(folders, 1):
                shutil.copytree(folder, served / name / str(number))
        for file in SETTINGS:
            shutil.copy(file, served)
        first = dict.fromkeys(versions, 1)
        (served / "models.config").write_text(text_format.MessageToString(config(served, first)))
        grpc_port, rest_port = free_ports(2)
        launch = backends.launch(
            self.backend, "127.0.0.1", grpc_port, rest_port, served / "models.config", self.flags
        )
        log = self.scratch / "server.log"
        address = f"127.0.0.1:{grpc_port}"
        with Process(launch.command, log) as process, Client(address, patience=0) as client:
            process.wait_for(client.healthy)
            yield Server(process, client, served)


@dataclasses.dataclass(frozen=True)
class Server:
    """A running model server."""

    process: Process
    client: Client
    served: Path

    @property
    def address(self) -> str:
        return self.client.address

    def serve(self, versions: dict[str, int]) -> None:
        """Serve one version of each of these models and nothing else."""
        self.client.reload_config(config(self.served, versions))


def config(served: Path, versions: dict[str, int]) -> Any:
    """A ModelServerConfig with one version a model."""
    made = model_server_config_pb2.ModelServerConfig()
    for name, version in versions.items():
        entry = made.model_config_list.config.add(
            name=name, base_path=str(served / name), model_platform="tensorflow"
        )
        entry.model_version_policy.specific.versions.append(version)
    return made


def request(model: str, name: str, array: Any) -> bytes:
    """A PredictRequest, ready to be sent."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = model
    made.inputs[name].CopyFrom(to_proto(array))
    return bytes(made.SerializeToString())


def pictures() -> list[bytes]:
    """Sixteen JPEG files, 256 px wide: colour fields with a little grain, from a fixed seed."""
    random = np.random.default_rng(0)
    fields = random.integers(0, 256, (16, 8, 8, 3)).repeat(32, axis=1).repeat(32, axis=2)
    grain = random.integers(-8, 9, fields.shape)
    files = []
    for pixels in np.clip(fields + grain, 0, 255).astype(np.uint8):
        file = BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def throughput(bench: Bench) -> Iterator[Row]:
    """Single images over the network, against ready batches in a loop."""
    for name, folder in bench.models.items():
        limits, rates, trouble = [], [], ""
        with bench.server({name: [folder]}) as server:
            for _ in range(bench.rounds):
                job = {"folder": str(folder), "images": bench.encoded, "seconds": bench.seconds}
                limits.append(bench.bare.ask(do="throughput", **job)["rate"])
                outcome = bench.ask(server.address, bench.requests(name))
                rates.append(outcome.rate)
                trouble = trouble or outcome.trouble
        ratio = statistics.median(a / b for a, b in zip(rates, limits, strict=True))
        limit = f"{statistics.median(limits):.0f}/s in-process, batches of {IN_FLIGHT}"
        yield (
            f"{name}: throughput", f"{statistics.median(rates):.0f}/s{trouble}", limit,
            f"{ratio:.2f}", "0.90",
        )  # fmt: skip


def trivial(bench: Bench) -> Iterator[Row]:
    """What the server itself costs: a model that does nothing, against an echo."""
    ask = [request("half_plus", "x", np.float32([1, 2, 3]))]
    with (
        bench.server({"half_plus": [bench.half_plus]}) as server,
        Worker("echo", bench.scratch / "echo.log") as echo,
    ):
        answer = predict_pb2.PredictResponse()
        answer.model_spec.name, answer.model_spec.signature_name = "half_plus", "serving_default"
        answer.model_spec.version.value = 1
        answer.outputs["y"].CopyFrom(to_proto(np.float32([2.5, 3, 3.5]), typed=True))
        echo.say(base64.b64encode(answer.SerializeToString()).decode())
        echo_address = f"127.0.0.1:{int(echo.hear())}"
        pairs = []
        for _ in range(bench.rounds):
            bare = bench.ask(echo_address, ask)
            ours = bench.ask(server.address, ask)
            pairs.append((ours.rate, bare.rate))
        trouble = ours.trouble
    ratio = statistics.median(a / b for a, b in pairs)
    rate, limit = (statistics.median(column) for column in zip(*pairs, strict=True))
    yield (
        "x/2 + 2: throughput", f"{rate:.0f}/s{trouble}", f"{limit:.0f}/s of a bare grpcio echo",
        f"{ratio:.2f}", "0.60",
    )  # fmt: skip


def latency(bench: Bench) -> Iterator[Row]:
    """The slowest hundredth at half of the throughput, against one call in-process."""
    for name, folder in bench.models.items():
        job = {"folder": str(folder), "images": bench.encoded, "seconds": bench.seconds}
        call = bench.bare.ask(do="latency", **job)["p50"]
        with bench.server({name: [folder]}) as server:
            most = bench.ask(server.address, bench.requests(name), seconds=min(5, bench.seconds))
            seconds = max(bench.seconds, 500 / most.rate)  # a hundredth of five hundred is five
            half = bench.ask(server.address, bench.requests(name), most.rate / 2, seconds)
        yield (
            f"{name}: p99 at {half.rate:.0f}/s", f"{half.p99:.1f} ms{half.trouble}",
            f"{call:.1f} ms, one call in-process", f"{half.p99 / call:.2f}", "at most 3",
        )  # fmt: skip


def models(bench: Bench) -> Iterator[Row]:
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


def swaps(bench: Bench) -> Iterator[Row]:
    """Requests while versions change, against the same requests while they don't."""
    changes, least = bench.swaps
    ask = [request("half_plus", "x", np.float32([1, 2, 3]))]
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
        f"{changes} version changes: errors", f"{sum(busy.errors.values())}{busy.trouble}",
        f"{busy.requests} requests", "", "0",
    )  # fmt: skip
    yield (
        f"{changes} version changes: p99", f"{busy.p99:.1f} ms",
        f"{calm.p99:.1f} ms without", f"{busy.p99 / calm.p99:.2f}", "at most 3",
    )  # fmt: skip


def rivals(bench: Bench) -> Iterator[Row]:
    """Others that serve the same SavedModel, each with the batching that it has."""
    for name, folder in bench.models.items():
        with bench.server({name: [folder]}) as server:
            ours = bench.ask(server.address, bench.requests(name)).rate
        for title, rival in RIVALS.items():
            what, aim = f"{name}: throughput over {title}", "2"
            if importlib.util.find_spec(title) is None:
                yield what, f"{ours:.0f}/s", "not installed", "", aim
                continue
            theirs = rival(bench, folder)
            yield (
                what, f"{ours:.0f}/s", f"{theirs.rate:.0f}/s{theirs.trouble}",
                f"{ours / theirs.rate:.2f}" if theirs.rate else "", aim,
            )  # fmt: skip


def over_http(
    bench: Bench, name: str, command: Sequence[object], port: int, paths: tuple[str, str],
    bodies: Sequence[Any], environment: dict[str, str] | None = None,
) -> Outcome:  # fmt: skip
    """Start a server that takes JSON, and ask it. paths: to see that it is up, and to ask."""
    address = f"http://127.0.0.1:{port}"
    with Process(
        command, bench.scratch / f"{name}.log", cwd=PARTS, env={**os.environ, **(environment or {})}
    ) as process:
        process.wait_for(lambda: answers(address + paths[0]))
        return bench.ask(address + paths[1], [json.dumps(body).encode() for body in bodies])


def answers(url: str) -> bool:
    """Whether there is a 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def mlflow_serve(bench: Bench, folder: Path) -> Outcome:
    """`mlflow models serve`, as this project registers its models."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    warnings.filterwarnings("ignore", message=".*input example was not provided.*")
    model = bench.scratch / "mlflow" / folder.parent.name
    pyfunc.save_model(
        model, loader_module="celflow.pyfunc", data_path=str(folder),
        signature=ModelSignature(inputs=Schema([ColSpec("binary", "image_bytes")])),
        pip_requirements=[],
    )  # fmt: skip
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model,
               "--port", port, "--env-manager", "local"]  # fmt: skip
    bodies = [
        {"dataframe_split": {"columns": ["image_bytes"], "data": [[one]]}} for one in bench.encoded
    ]
    return over_http(bench, "mlflow", command, port, ("/ping", "/invocations"), bodies)


def litserve_serve(bench: Bench, folder: Path) -> Outcome:
    (port,) = free_ports(1)
    command = [sys.executable, PARTS / "litserve_app.py", folder.absolute(), port]
    bodies = [{"image": one} for one in bench.encoded]
    return over_http(bench, "litserve", command, port, ("/health", "/predict"), bodies)


def bentoml_serve(bench: Bench, folder: Path) -> Outcome:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bentoml", "serve", "bentoml_app:Classifier", "--port", port]
    bodies = [{"images": [one]} for one in bench.encoded]
    environment = {"MODEL": str(folder.absolute())}
    paths = ("/readyz", "/classify")
    return over_http(bench, "bentoml", command, port, paths, bodies, environment)


RIVALS = {"mlflow": mlflow_serve, "litserve": litserve_serve, "bentoml": bentoml_serve}
FIGURES = {
    figure.__name__: figure for figure in (throughput, trivial, latency, models, swaps, rivals)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--only", default=",".join(FIGURES), help="some of %(default)s")
    parser.add_argument("--exports", type=Path, default=Path("exports"), help="trained models")
    parser.add_argument(
        "--backend", type=backends.Backend, default=backends.Backend.embedded,
        help="auto, binary, docker or embedded (default: embedded)",
    )  # fmt: skip
    parser.add_argument("flags", nargs="*", help="after --: more flags of the server")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started ends, too
    chosen = words.only.split(",")
    if unknown := set(chosen) - set(FIGURES):
        parser.error(f"no figure {', '.join(unknown)}: choose of {', '.join(FIGURES)}")
    if words.backend is backends.Backend.auto:
        words.backend = backends.first()
    table = Table("figure", "measured", "compared with", "ratio", "aim")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        bench = Bench(words, Path(name), stack)
        for one in chosen:
            for row in FIGURES[one](bench):
                print(" | ".join(row), flush=True)
                table.add_row(*row)
            table.add_section()
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    errors.run(main)
