"""How good is every model on real pictures, and on pictures from sources it never saw?

Runs the pipeline once for each run of results.yaml, in a project of its own below --folder, keeps
its metrics in benchmarks/measured/, and writes docs/results.md from what is there. A run that was
interrupted goes on where it stopped: nothing that DVC knows is done again.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.parts.results_page import Run, of_model, of_pictures, page
from celflow import errors, params

ROOT = Path(__file__).parents[1]
RUNS_FILE = ROOT / "benchmarks/results.yaml"
MEASURED = ROOT / "benchmarks/measured"
PAGE = ROOT / "docs/results.md"
VARIABLE = "CELFLOW_REAL_DATA"
NOT_COPIED = ("tests/", "docs/", "metrics/", "reports/", "benchmarks/measured/", "dvc.lock")


def read_runs(file: Path = RUNS_FILE) -> list[Run]:
    """The runs, with what is said once for all of them."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [
        Run(
            name,
            one["title"],
            one["task"],
            one.get("models", content["models"][one["task"]]),
            merged(content["params"], one.get("params", {})),
            one.get("mean", ""),
        )
        for name, one in content["runs"].items()
    ]


def merged(content: dict, changes: dict) -> dict:
    """`changes` over `content`, level by level."""
    both = {**content, **changes}
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            both[key] = merged(content[key], value)
    return both


def prepare(folder: Path, run: Run, real: str) -> None:
    """Make, or bring up to date, the run's project: this working tree with other parameters."""
    from stages.models.common import table  # takes seconds: Keras

    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(NOT_COPIED):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    # All runs share a cache, so that what several need (cleaned pictures) is made once.
    local = f"[core]\n    no_scm = true\n[cache]\n    dir = {folder.parent / 'cache'}\n"
    (folder / ".dvc/config.local").write_text(local)
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump(merged(content, run.params), sort_keys=False)
    (folder / "params.yaml").write_text(text.replace(f"${VARIABLE}", real), encoding="utf-8")
    read = params.load(folder / "params.yaml")
    for model in run.models:  # a wrong key is named before hours of training
        table.create(model, read)


def repro(folder: Path, models: list[str]) -> None:
    """`dvc repro` of the models; what it prints is seen as it comes."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["dvc", "repro", *(f"register@{model}" for model in models)],
        cwd=folder, env={**kept, "PATH": path, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    if done.returncode:
        raise errors.UserError(f"dvc repro failed in {folder}: put it right and start this again")


def keep(folder: Path, kept: Path, models: list[str]) -> None:
    """Copy what the run in `folder` measured to `kept`, over what was measured before."""
    for name in [*of_pictures(), *(file for model in models for file in of_model(model))]:
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, kept / name)


def write_page(runs: list[Run]) -> None:
    """Write the page of all that was ever measured."""
    PAGE.write_text(page(runs, MEASURED), encoding="utf-8")
    print(f"written: {PAGE}")


def main() -> None:
    runs = read_runs()
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "celflow-results"
    parser.add_argument("--folder", type=Path, default=default, help=f"kept; {default}")
    parser.add_argument("--runs", nargs="+", choices=[run.name for run in runs], metavar="RUN")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="only these of each run")
    parser.add_argument("--page-only", action="store_true", help="write it; train nothing")
    args = parser.parse_args()
    if args.page_only:
        write_page(runs)
        return
    real = os.environ.get(VARIABLE, "")
    if not Path(real).is_dir() or not real:
        raise errors.UserError(f"set {VARIABLE} to the folder of real pictures")
    folder = args.folder.resolve()
    chosen = [run for run in runs if not args.runs or run.name in args.runs]
    print(f"{len(chosen)} runs in {folder}", flush=True)
    for place, run in enumerate(chosen, 1):
        models = [model for model in run.models if not args.models or model in args.models]
        if not models:
            continue
        print(f"\n{place}/{len(chosen)} {run.name}: {', '.join(models)}", flush=True)
        prepare(folder / run.name, run, str(Path(real).resolve()))
        repro(folder / run.name, models)
        keep(folder / run.name, MEASURED / run.name, models)
        write_page(runs)


if __name__ == "__main__":
    errors.run(main)
