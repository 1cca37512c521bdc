"""Does a model answer in a faster way as TensorFlow in float32 does, and how much faster is it?

What the server measures for `--fast`, on pictures of `cartoon_or_photo` (for models of faces: of
`characters`) of CELFLOW_REAL_DATA, otherwise the built-in sample, shrunk to 512 px:
`python benchmarks/fast.py [MODEL ...]`, of served/.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))  # or serving.py beside this file comes first
from celflow.params import load
from serving.server.runtime import fast
from serving.server.runtime.saved_model import SavedModelOptions

WAYS = {
    "TensorFlow, bfloat16": SavedModelOptions(bfloat16=True),
    "OpenVINO, float32": SavedModelOptions(openvino=True),
    "OpenVINO, bfloat16": SavedModelOptions(openvino=True, bfloat16=True),
}


def main() -> None:
    params = load()
    root = Path(os.environ.get("CELFLOW_REAL_DATA", "data/sample"))
    tasks = {"characters": "characters16" if "CELFLOW_REAL_DATA" in os.environ else "characters"}
    names = sys.argv[1:] or [name for name in params.models if (Path("served") / name).is_dir()]
    rows = Table("model", "by", "pictures", "alike", "largest difference", "over float32", "taken")
    for name in tqdm(names, "models"):
        task = "characters" if params.task(name) == "characters" else "cartoon_or_photo"
        folder = max((Path("served") / name).iterdir(), key=lambda path: int(path.name))
        for way, options in WAYS.items():
            try:
                found = fast.compare(folder, options, root / tasks.get(task, task))
            except Exception as error:  # it cannot be run in this way
                rows.add_row(name, way, "", "", "", "", str(error)[:60])
                continue
            rows.add_row(
                name, way, str(found.examples), f"{found.agreement:.3f}",
                f"{found.difference:.3f}", f"{found.speedup:.2f}",
                "yes" if found.accepted else "no",
            )  # fmt: skip
    Console().print(rows)


if __name__ == "__main__":
    main()
