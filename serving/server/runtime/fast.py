"""Runs a SavedModel in a faster way where that answers alike: in bfloat16, and by OpenVINO.

Asked for by `--fast`. What decides is measured, on this machine, when a version is loaded, in a
process of its own: a compiler that crashes does not take the server along.

    python -m serving.server.runtime.fast FOLDER EXAMPLES OPTIONS  (JSON: see _Request)

prints the comparison as JSON.
"""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from celflow.images import BadImage, encode_png, read_image, shrink
from serving import request_logs
from serving.server.deadline import NO_DEADLINE
from serving.server.runtime import openvino_network, saved_model
from serving.server.runtime.model_files import WARMUP_FILE
from serving.server.runtime.saved_model import SavedModelOptions
from serving.server.runtime.signature import DEFAULT_SIGNATURE, Signature
from serving.tensors import Array, to_array

log = logging.getLogger(__name__)

MIN_EXAMPLES = 200
"""Of fewer, an agreement of 99.5 % says little."""

MAX_EXAMPLES = 1000
MAX_PICTURES = 256  # of a folder
LONGEST = 512  # pixels of such a picture's longer side
MIN_AGREEMENT = 0.995
MAX_DIFFERENCE = 0.05
"""Of any number of an answer, such as a score; pictures of 0 to 255 count in parts of 255."""

MIN_SPEEDUP = 1.05
BATCH = 32
ROUNDS = 3
TIMEOUT = 600.0  # seconds

Answers = dict[str, Array]


@dataclass(frozen=True)
class Comparison:
    """A faster way against TensorFlow in float32, on the same examples.

    Attributes:
        examples: how many.
        agreement: share of them with the same best score, and the same strings.
        difference: the largest of any number of an answer.
        speedup: examples a second, in batches of 32, over TensorFlow's; the rounds interleaved.
    """

    examples: int
    agreement: float
    difference: float
    speedup: float

    @property
    def accepted(self) -> bool:
        """Whether it answers as TensorFlow in float32 does, and faster."""
        return (
            self.agreement >= MIN_AGREEMENT
            and self.difference <= MAX_DIFFERENCE
            and self.speedup >= MIN_SPEEDUP
        )


def choose(
    model: str, version: int, folder: Path, options: SavedModelOptions, examples: str
) -> SavedModelOptions:
    """`options` in the first faster way that is accepted, or as they are; the log says why.

    examples: a file, or `filename_prefix`, of a request log, or a folder of pictures; {model} and
    {version} stand for the version's. Empty for the version's own warm-up requests.
    """
    named = examples.replace("{model}", model).replace("{version}", str(version))
    source = Path(named) if named else folder / WARMUP_FILE
    for faster in faster_ways(options):
        found, why = _compare_apart(folder, faster, source)
        accepted = found is not None and found.accepted
        log.info(
            "{name: %s version: %s} %s in %s: %s",
            model, version, "runs" if accepted else "does not run", _words(faster), why,
        )  # fmt: skip
        if accepted:
            return faster
    return options


def faster_ways(options: SavedModelOptions) -> list[SavedModelOptions]:
    """What may be faster here, the fastest first."""
    if openvino_network.installed():
        return [replace(options, openvino=True, bfloat16=lower) for lower in (True, False)]
    return [replace(options, bfloat16=True)]


def _words(options: SavedModelOptions) -> str:
    precision = "bfloat16" if options.bfloat16 else "float32"
    return f"{precision} by {'OpenVINO' if options.openvino else 'TensorFlow'}"


def _compare_apart(
    folder: Path, faster: SavedModelOptions, source: Path
) -> tuple[Comparison | None, str]:
    """`compare` in a process of its own: what it found, if anything, and in words."""
    words = [sys.executable, "-m", __name__, str(folder), str(source), _Request.of(faster).json()]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode:
            return None, (done.stderr.strip().splitlines() or ["it crashed"])[-1]
        found = Comparison(**json.loads(done.stdout.splitlines()[-1]))
    except (OSError, ValueError, TypeError, IndexError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    return found, (
        f"{found.examples} examples, {found.agreement:.1%} alike, difference at most "
        f"{found.difference:.3f}, {found.speedup:.2f} times as fast"
    )


def compare(folder: Path, faster: SavedModelOptions, source: Path) -> Comparison:
    """Ask a SavedModel in TensorFlow's float32, and in a faster way.

    Raises:
        ValueError: there are too few examples.
        StatusError: it cannot be run in this way.
    """
    sessions = [
        saved_model.load(folder, options)[1][DEFAULT_SIGNATURE]
        for options in (replace(faster, bfloat16=False, openvino=False), faster)
    ]
    examples = _examples(source, sessions[0])
    count = len(next(iter(examples.values()), ()))
    if count < MIN_EXAMPLES:
        raise ValueError(f"{count} examples in {source}, {MIN_EXAMPLES} are needed")
    times: list[list[float]] = [[], []]
    answers: list[Answers] = [{}, {}]
    for _ in range(ROUNDS):
        for which, signature in enumerate(sessions):
            started = time.perf_counter()
            answers[which] = _ask(signature, examples)
            times[which].append(time.perf_counter() - started)
    # The first round of each compiles.
    speedup = min(times[0][1:]) / min(times[1][1:])
    return Comparison(count, _agreement(*answers), _difference(*answers), speedup)


def _examples(source: Path, signature: Signature) -> Mapping[str, Array]:
    """Input name to the examples of all requests that fit the signature, one behind the other.

    Of a folder, its pictures, for a signature that takes `image_bytes` only.
    """
    names = signature.definition.inputs.keys()
    if source.is_dir() and set(names) == {"image_bytes"}:
        return {"image_bytes": np.array(_pictures(source), object)}
    parts: dict[str, list[Array]] = {name: [] for name in names}
    count = 0
    for path in request_logs.files(source):
        for record in request_logs.read(path):
            request = record.predict_log.request
            wanted = request.model_spec.signature_name or DEFAULT_SIGNATURE
            if wanted != DEFAULT_SIGNATURE or request.inputs.keys() != names:
                continue
            arrays = {name: to_array(proto) for name, proto in request.inputs.items()}
            if count >= MAX_EXAMPLES or any(array.ndim == 0 for array in arrays.values()):
                continue
            count += len(next(iter(arrays.values())))
            for name, array in arrays.items():
                parts[name].append(array)
    return {name: np.concatenate(part) for name, part in parts.items() if part}


def _pictures(folder: Path) -> list[bytes]:
    """Pictures of all folders below, encoded as the server takes them; what is none is left out."""
    files = sorted(path for path in folder.rglob("*.*") if path.is_file())
    pictures = []
    for file in files[:: max(1, len(files) // MAX_PICTURES)]:
        try:
            pictures.append(encode_png(shrink(read_image(file).pixels, LONGEST)))
        except BadImage:
            continue
    return pictures


def _ask(signature: Signature, examples: Mapping[str, Array]) -> Answers:
    count = len(next(iter(examples.values())))
    answers = [
        signature.run({k: v[i : i + BATCH] for k, v in examples.items()}, NO_DEADLINE)
        for i in range(0, count, BATCH)
    ]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _agreement(one: Answers, other: Answers) -> float:
    """Share of examples whose best score and strings are the same."""
    same = np.ones(len(next(iter(one.values()))), bool)
    for name, values in one.items():
        if values.dtype == object:
            same &= (values == other[name]).reshape(len(same), -1).all(1)
        elif values.ndim == 2 and np.issubdtype(values.dtype, np.floating):
            same &= values.argmax(1) == other[name].argmax(1)
    return float(same.mean())


def _difference(one: Answers, other: Answers) -> float:
    largest = 0.0
    for name, values in one.items():
        if values.dtype != object:
            scale = 255 if values.dtype == np.uint8 else 1
            difference = np.abs(values.astype(np.float64) - other[name].astype(np.float64))
            largest = max(largest, float(difference.max(initial=0)) / scale)
    return largest


@dataclass(frozen=True)
class _Request:
    """`SavedModelOptions`, and the numbers of threads, as words of a command line.

    config: `ConfigProto` in hexadecimal digits; None for none.
    """

    tags: tuple[str, ...]
    config: str | None
    bfloat16: bool
    openvino: bool
    threads: tuple[int, int]

    @classmethod
    def of(cls, options: SavedModelOptions) -> "_Request":
        config = options.session_config
        threading = tf.config.threading
        return cls(
            options.tags,
            None if config is None else config.SerializeToString().hex(),
            options.bfloat16,
            options.openvino,
            (
                threading.get_intra_op_parallelism_threads(),
                threading.get_inter_op_parallelism_threads(),
            ),
        )

    def json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def options(self) -> SavedModelOptions:
        config = None
        if self.config is not None:
            config = tf.compat.v1.ConfigProto.FromString(bytes.fromhex(self.config))
        return SavedModelOptions(tuple(self.tags), config, self.bfloat16, self.openvino)


def _main(folder: str, source: str, request: str) -> None:
    asked = _Request(**json.loads(request))
    saved_model.prepare_devices(*asked.threads)
    print(json.dumps(asdict(compare(Path(folder), asked.options, Path(source)))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
