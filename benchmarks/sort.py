"""How fast does `celflow sort` get the pictures through a server, and in how much memory?

Beside the server's own throughput on the same pictures (requests made beforehand, sent by a process
of its own), and beside one Keras `predict` a file. Memory is the largest that the sorting process
has had, by the number of files. Needs a running server: --server.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from celflow import errors
from celflow.params import load
from serving.client import Client
from serving.client.pictures import sendable
from serving.client.requests import image_batch, model_spec, predict_request
from sorting.journal import Plan
from sorting.run import sort_files
from sorting.sorter import Sorter
from sorting.verdicts import asker
from sorting.walk import files_in

IN_FLIGHT = 32


def fill(folder: Path, pictures: list[Path], count: int) -> None:
    """A folder with `count` files, each picture many times."""
    folder.mkdir()
    for number, picture in enumerate(islice(cycle(pictures), count)):
        (folder / f"{number:06d}{picture.suffix}").hardlink_to(picture)


def own_throughput(server: str, model: str, pictures: list[Path], seconds: float) -> float:
    """Pictures a second that the server answers, whatever the client does."""
    spec = model_spec(model, "stable", "serving_default")
    requests = [
        predict_request(spec, {"image_bytes": image_batch([sendable(one.read_bytes())])}, ())
        for one in pictures
    ]
    encoded = [base64.b64encode(one.SerializeToString()).decode() for one in requests]
    load_generator = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.parts.load"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert load_generator.stdin and load_generator.stdout
    run = {"address": server, "requests": encoded, "in_flight": IN_FLIGHT, "rate": None}
    print(json.dumps(run), file=load_generator.stdin, flush=True)
    time.sleep(seconds)
    print("stop", file=load_generator.stdin, flush=True)
    answer = json.loads(load_generator.stdout.readline())
    load_generator.terminate()
    return float(answer["requests"] / answer["seconds"])


def sorted_throughput(server: str, model: str, folder: Path, out: Path, mode: str) -> float:
    """Files a second that are asked about, placed and journalled."""
    started = time.perf_counter()
    with (
        Client(server) as client,
        Sorter(Plan(folder, out, model, mode)) as sorter,  # type: ignore[arg-type]
    ):
        sort_files(sorter, files_in(folder, out), asker(client, model, "stable", load()))
        placed = sum(sorter.finish().piles.values())
    return placed / (time.perf_counter() - started)


def keras_throughput(model: str, pictures: list[Path]) -> float | None:
    """Pictures a second with one Keras `predict` a file; None for a model that is none of Keras."""
    file = Path("models") / model / "model.keras"
    if not file.is_file():
        return None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from stages.models.common import keras_files
    from stages.models.common.image_ops import read_pixels

    network = keras_files.load(file.parent)
    network.predict(read_pixels([str(pictures[0])], network.input_shape[1]), verbose=0)
    started = time.perf_counter()
    for picture in pictures:
        network.predict(read_pixels([str(picture)], network.input_shape[1]), verbose=0)
    return len(pictures) / (time.perf_counter() - started)


def memory(server: str, model: str, pictures: list[Path], count: int) -> float:
    """MiB that a process has had at most that sorted `count` files."""
    command = [sys.executable, "-m", "benchmarks.sort", "--child", str(count), "--server", server,
               "--model", model, *map(str, pictures)]  # fmt: skip
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def child(server: str, model: str, pictures: list[Path], count: int) -> None:
    with tempfile.TemporaryDirectory(dir=pictures[0].parent) as temporary:
        folder = Path(temporary) / "in"
        fill(folder, pictures, count)
        sorted_throughput(server, model, folder, Path(temporary) / "out", "link")
    # getrusage's ru_maxrss would be the parent's, which has TensorFlow.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    """Measure and print."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="*", type=Path, help="default: the sample's")
    parser.add_argument("--server", default="127.0.0.1:8500")
    parser.add_argument("--model", action="append", help="default: those of cartoon or photo")
    parser.add_argument("--files", type=int, default=600, help="to sort, for the throughput")
    parser.add_argument("--seconds", type=float, default=8, help="of the server's own throughput")
    parser.add_argument(
        "--many", type=int, default=0, help="files for the memory, beside a twentieth"
    )
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    config = load()
    pictures = options.pictures or sorted(Path("data/clean/cartoon_or_photo").rglob("*.png"))[::3]
    models = options.model or [n for n in config.models if config.task(n) == "cartoon_or_photo"]
    if options.child:
        child(options.server, models[0], pictures, options.child)
        return
    table = Table("model", "server", "sort --link", "ratio", "sort --copy", "ratio", "keras", "x")
    for model in models:
        with tempfile.TemporaryDirectory(dir=pictures[0].parent) as temporary:
            folder = Path(temporary) / "in"
            fill(folder, pictures, options.files)
            own = own_throughput(options.server, model, pictures, options.seconds)
            rates = [
                sorted_throughput(options.server, model, folder, Path(temporary) / mode, mode)
                for mode in ("link", "copy")
            ]
        keras = keras_throughput(model, pictures)
        cells = [f"{own:.0f}/s"]
        for rate in rates:
            cells += [f"{rate:.0f}/s", f"{rate / own:.2f}"]
        cells += [f"{keras:.1f}/s", f"{rates[1] / keras:.1f}"] if keras else ["-", "-"]
        table.add_row(model, *cells)
    Console().print(table)
    if options.many:
        few = max(1, options.many // 20)
        for count in (few, options.many):
            print(f"{count} files: {memory(options.server, models[0], pictures, count):.0f} MiB")


if __name__ == "__main__":
    errors.run(main)
