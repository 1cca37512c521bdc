"""Does a model answer in bfloat16 as it does in float32, and how much faster?

What the server measures before it takes bfloat16 (`--lower_precision`), on pictures of
`cartoon_or_photo` (for models of faces: of `characters`) of CELFLOW_REAL_DATA, otherwise the
built-in sample, shrunk to 512 px: `python benchmarks/precision.py [MODEL ...]`, of served/.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))  # or serving.py beside this file comes first
from celflow.images import BadImage, encode_png, open_image, shrink
from celflow.params import load
from serving.server.runtime import precision
from serving.server.runtime.saved_model import SavedModelOptions

COUNT, LONGEST = 224, 512  # pictures; pixels of the longer side


def write_requests(model: str, pictures: list[bytes], path: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = model
    log.predict_log.request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(pictures))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


def read_pictures(folder: Path) -> list[bytes]:
    files = sorted(path for path in folder.rglob("*.*") if path.is_file())
    pictures = []
    for file in tqdm(files[:: max(1, len(files) // COUNT)], folder.name, leave=False):
        try:
            pictures.append(encode_png(shrink(open_image(file.read_bytes()).pixels, LONGEST)))
        except BadImage:
            continue
    return pictures[: precision.MAX_EXAMPLES]


def main() -> None:
    params = load()
    root = Path(os.environ.get("CELFLOW_REAL_DATA", "data/sample"))
    tasks = {"characters": "characters16" if "CELFLOW_REAL_DATA" in os.environ else "characters"}
    names = sys.argv[1:] or [name for name in params.models if (Path("served") / name).is_dir()]
    rows = Table("model", "pictures", "alike", "largest difference", "times as fast", "taken")
    known: dict[str, list[bytes]] = {}
    for name in tqdm(names, "models"):
        task = "characters" if params.task(name) == "characters" else "cartoon_or_photo"
        if task not in known:
            known[task] = read_pictures(root / tasks.get(task, task))
        folder = max((Path("served") / name).iterdir(), key=lambda path: int(path.name))
        with tempfile.TemporaryDirectory() as place:
            requests = Path(place) / "requests"
            write_requests(name, known[task], requests)
            found = precision.compare(folder, SavedModelOptions(), requests)
        rows.add_row(
            name, str(found.examples), f"{found.agreement:.3f}", f"{found.difference:.3f}",
            f"{found.speedup:.2f}", "yes" if found.accepted else "no",
        )  # fmt: skip
    Console().print(rows)


if __name__ == "__main__":
    main()
