"""Where does `dvc repro` spend its time and memory?

Runs the pipeline on the built-in sample in a clone of the committed project, stage by stage, and
prints for each its seconds, its share, and the peak memory of all its processes together. The
import of TensorFlow is measured in the same run, and counted in the stages that pay it.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
WITH_TENSORFLOW = ("train@xception", "train@character_cnn", "evaluate@xception",
                   "evaluate@character_cnn", "export@")  # fmt: skip


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall-clock seconds of a command, and peak MiB of it and its descendants."""
    start = time.perf_counter()
    process = psutil.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        total = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, total)
        time.sleep(0.1)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, peak / 2**20


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "celflow"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        listed = subprocess.run(
            ["dvc", "stage", "list", "--name-only"],
            cwd=clone,
            check=True,
            capture_output=True,
            text=True,
        )
        rows = [
            (name, *measured(["dvc", "repro", "-s", name], clone)) for name in listed.stdout.split()
        ]
        again, _ = measured(["dvc", "repro"], clone)
    imported, _ = measured([sys.executable, "-c", "import tensorflow"], ROOT)
    total = sum(seconds for _, seconds, _ in rows)

    table = Table("stage", "seconds", "share", "peak MiB", "imports TensorFlow")
    for name, seconds, peak in rows:
        table.add_row(name, f"{seconds:.1f}", f"{seconds / total:.0%}", f"{peak:.0f}",
                      "yes" if name.startswith(WITH_TENSORFLOW) else "")  # fmt: skip
    imports = sum(name.startswith(WITH_TENSORFLOW) for name, _, _ in rows)
    peak = max(peak for *_, peak in rows)
    table.add_section()
    table.add_row("all", f"{total:.1f}", "100%", f"{peak:.0f}",
                  f"{imports} x {imported:.1f} s = {imports * imported / total:.0%}")  # fmt: skip
    table.add_row("nothing changed", f"{again:.1f}", f"{again / total:.1%}", "", "")
    Console().print(table)


if __name__ == "__main__":
    main()
