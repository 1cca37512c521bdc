"""Runs a SavedModel in bfloat16 where that is faster here and answers alike.

Asked for by `--lower_precision=bfloat16`. What decides is measured, on this machine, when a version
is loaded, in a process of its own: a compiler that crashes does not take the server along.

    python -m serving.server.runtime.precision FOLDER REQUESTS  (SavedModelOptions' tags, threads)

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

from serving import request_logs
from serving.server.deadline import NO_DEADLINE
from serving.server.runtime import saved_model
from serving.server.runtime.model_files import WARMUP_FILE
from serving.server.runtime.saved_model import SavedModelOptions
from serving.server.runtime.signature import DEFAULT_SIGNATURE, Signature
from serving.tensors import Array, to_array

log = logging.getLogger(__name__)

MIN_EXAMPLES = 200
"""Of fewer, an agreement of 99.5 % says little."""

MAX_EXAMPLES = 1000
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
    """bfloat16 against float32 on the same examples.

    Attributes:
        examples: how many.
        agreement: share of them with the same best score, and the same strings.
        difference: the largest of any number of an answer.
        speedup: examples a second, in batches of 32, over float32's; the rounds interleaved.
    """

    examples: int
    agreement: float
    difference: float
    speedup: float

    @property
    def accepted(self) -> bool:
        """Whether bfloat16 answers as float32 does, and faster."""
        return (
            self.agreement >= MIN_AGREEMENT
            and self.difference <= MAX_DIFFERENCE
            and self.speedup >= MIN_SPEEDUP
        )


def choose(
    model: str, version: int, folder: Path, options: SavedModelOptions, requests: str
) -> SavedModelOptions:
    """`options`, in bfloat16 where the comparison accepts it; the log says what was decided.

    requests: in which file, or `filename_prefix` of a request log; {model} and {version} stand for
    the version's. Empty for the version's own warm-up requests.
    """
    named = requests.replace("{model}", model).replace("{version}", str(version))
    source = Path(named) if named else folder / WARMUP_FILE
    words = [sys.executable, "-m", __name__, str(folder), str(source), json.dumps(_plain(options))]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        lines = done.stdout.splitlines() if done.returncode == 0 else []
        found = Comparison(**json.loads(lines[-1])) if lines else None
        why = "" if lines else (done.stderr.strip().splitlines() or ["it crashed"])[-1]
    except (OSError, ValueError, TypeError, subprocess.TimeoutExpired) as error:
        found, why = None, str(error)
    if found is not None:
        why = (
            f"{found.examples} examples, {found.agreement:.1%} alike, difference at most "
            f"{found.difference:.3f}, {found.speedup:.2f} times as fast"
        )
    accepted = found is not None and found.accepted
    kind = "bfloat16" if accepted else "float32"
    log.info("{name: %s version: %s} runs in %s: %s", model, version, kind, why)
    return replace(options, bfloat16=True) if accepted else options


def compare(folder: Path, options: SavedModelOptions, source: Path) -> Comparison:
    """Ask a SavedModel in both precisions.

    Raises:
        ValueError: there are too few examples.
    """
    sessions = [
        saved_model.load(folder, replace(options, bfloat16=lower))[1][DEFAULT_SIGNATURE]
        for lower in (False, True)
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
    """Input name to the examples of all requests that fit the signature, one behind the other."""
    names = signature.definition.inputs.keys()
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


def _plain(options: SavedModelOptions) -> dict[str, object]:
    config = options.session_config
    return {
        "tags": list(options.tags),
        "config": None if config is None else config.SerializeToString().hex(),
        "threads": [
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        ],
    }


def _main(folder: str, source: str, plain: str) -> None:
    said = json.loads(plain)
    saved_model.prepare_devices(*said["threads"])
    config = said["config"]
    options = SavedModelOptions(
        tuple(said["tags"]),
        None if config is None else tf.compat.v1.ConfigProto.FromString(bytes.fromhex(config)),
    )
    print(json.dumps(asdict(compare(Path(folder), options, Path(source)))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
