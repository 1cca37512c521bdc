"""How much slower than OpenCV are the handcrafted models as served graphs?

A request is one picture's file, decoding included on both sides; both may use every core. The graph
is loaded and called as the model server does it. They are interleaved, and the fastest of some
rounds counts for each picture, so that other work on the machine disturbs little. Uses
`cartoon_or_photo` of CELFLOW_REAL_DATA, otherwise the built-in sample (`dvc repro sample`),
every so many pictures of it: `python benchmarks/handcrafted.py [PICTURES]`.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))  # or serving.py beside this file comes first
from celflow.params import load
from serving.server.deadline import NO_DEADLINE
from serving.server.runtime import saved_model
from serving.server.runtime.saved_model import SavedModelOptions
from stages.models.common import table
from stages.models.common.calibration import Calibration
from stages.models.threshold_classifiers.threshold_classifier import MODEL_FILE

NAMES = ("colours", "gradient", "edges")
ROUNDS = 15


def seconds(work, data: bytes) -> float:
    start = time.perf_counter()
    work(data)
    return time.perf_counter() - start


def main() -> None:
    root = Path(os.environ.get("CELFLOW_REAL_DATA", "data/sample"))
    files = sorted((root / "cartoon_or_photo").rglob("*.*"))
    if not files:
        sys.exit("no pictures: run `dvc repro sample` or set CELFLOW_REAL_DATA")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    contents = [file.read_bytes() for file in files[:: max(1, len(files) // count)]]

    rows = Table("model", "pictures", "OpenCV ms", "graph ms", "ratio")
    for name in NAMES:
        model = table.create(name, load())

        def by_opencv(data: bytes, model=model) -> float:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
            return model.feature(pixels)

        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            fitted = {"threshold": model.published_threshold, "slope": 1.0}
            (folder / MODEL_FILE).write_text(json.dumps(fitted))
            servable = model.servable(folder, ["cartoon", "photo"], Calibration())
            servable.save(folder / "saved_model")
            _, signatures = saved_model.load(folder / "saved_model", SavedModelOptions())
            signature = signatures["serving_default"]

        def in_graph(data: bytes, signature=signature) -> np.ndarray:
            inputs = {"image_bytes": np.array([data], object)}
            return signature.run(inputs, NO_DEADLINE)["scores"]

        in_graph(contents[0])
        taken = np.empty((2, ROUNDS, len(contents)))
        for turn in range(ROUNDS):
            for i, data in enumerate(tqdm(contents, f"{name} {turn + 1}/{ROUNDS}", disable=None)):
                for way, work in enumerate((by_opencv, in_graph)):
                    taken[way, turn, i] = seconds(work, data)
        opencv, graph = taken.min(axis=1).mean(axis=1) * 1000
        rows.add_row(name, str(len(contents)), f"{opencv:.1f}", f"{graph:.1f}",
                      f"{graph / opencv:.2f}")  # fmt: skip
    Console().print(rows)


if __name__ == "__main__":
    main()
