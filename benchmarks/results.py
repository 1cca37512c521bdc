"""How good is every model on real pictures, and on pictures from sources it never saw?

Runs the pipeline once for each run of results.yaml, in a project of its own below --folder, keeps
its metrics in benchmarks/measured/, and writes docs/results.md from what is there. A run that was
interrupted goes on where it stopped: nothing that DVC knows is done again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from celflow import errors, params

ROOT = Path(__file__).parents[1]
RUNS_FILE = ROOT / "benchmarks/results.yaml"
MEASURED = ROOT / "benchmarks/measured"
PAGE = ROOT / "docs/results.md"
VARIABLE = "CELFLOW_REAL_DATA"
NOT_COPIED = ("tests/", "docs/", "metrics/", "reports/", "benchmarks/measured/", "dvc.lock")
TASKS = {  # of a task: its title, and its dataset
    "cartoon_or_photo": ("Cartoon or photo", "cartoon_or_photo"),
    "characters": ("Who is it", "characters"),
    "sketch": ("Drawing to sketch", "cartoon_or_photo"),
    "cartoonize": ("Photo to drawing", "cartoon_or_photo"),
}


@dataclass(frozen=True)
class Run:
    """A run of the pipeline: the models that it fits, and what it changes in params.yaml.

    mean: runs with the same word here are folds, and their mean is a row of the table.
    """

    name: str
    title: str
    task: str
    models: list[str]
    params: dict[str, Any] = field(default_factory=dict)
    mean: str = ""


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


def flat(content: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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


def of_pictures() -> list[str]:
    """The reports on a run's pictures."""
    return [f"reports/{name}.json" for name in ("clean", "split", "facecrop")]


def of_model(model: str) -> list[str]:
    """A model's metrics and its speed."""
    return [f"metrics/{model}.json", f"reports/speed/{model}.json"]


def keep(folder: Path, kept: Path, models: list[str]) -> None:
    """Copy what the run in `folder` measured to `kept`, over what was measured before."""
    for name in [*of_pictures(), *(file for model in models for file in of_model(model))]:
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, kept / name)


def metrics(folder: Path, model: str) -> dict[str, Any] | None:
    """A model's metrics and its speed, or None where the run has not come so far."""
    files = [folder / name for name in of_model(model)]
    if not all(file.is_file() for file in files):
        return None
    return {key: value for file in files for key, value in json.loads(file.read_text()).items()}


def number(name: str, digits: int = 3) -> Any:
    """A column's text: a metric with so many digits, or nothing."""
    return lambda f: f"{f[name]:.{digits}f}" if name in f else ""


def accuracy(f: dict[str, Any]) -> str:
    """The accuracy with its interval, where it has one."""
    interval = f" ({f['accuracy_low']:.3f}-{f['accuracy_high']:.3f})" if "accuracy_low" in f else ""
    return f"{f['accuracy']:.3f}{interval}"


COLUMNS = {
    "pictures": number("pictures", 0),
    "accuracy (95 %)": lambda f: accuracy(f) if "accuracy" in f else "",
    "balanced": number("balanced_accuracy"),
    "AUROC": number("auroc"),
    "ECE": number("ece"),
    "unsure": number("unsure_share"),
    "accuracy of the others": number("decided_accuracy"),
    "accuracy but for unknown": number("known_accuracy"),
    "AUROC of unknown": number("unknown_auroc"),
    "PSNR": number("psnr", 1),
    "SSIM": number("ssim"),
    "edge F1": number("edge_f1"),
    "KID before": number("kid_before", 4),
    "KID after": number("kid_after", 4),
    "content distance": number("content_distance"),
    "edge sharpness": number("edge_sharpness", 2),
    "ms an image": number("ms_per_image", 1),
    "MB": lambda f: f"{f['size_bytes'] / 1e6:.1f}" if "size_bytes" in f else "",
}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table without the columns that are empty."""
    if not rows:
        return "Not run yet."
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line[i] for i in kept) + " |" for line in lines)


def task_table(runs: list[Run], folder: Path) -> str:
    """A row for each run and model that is done, and the mean of each complete set of folds."""
    rows, folds = [], dict[tuple[str, str], list[dict[str, Any] | None]]()
    for run in runs:
        for model in run.models:
            found = metrics(folder / run.name, model)
            if run.mean:
                folds.setdefault((run.mean, model), []).append(found)
            if found:
                rows.append([run.title, model, *(text(found) for text in COLUMNS.values())])
    for (title, model), all_found in folds.items():
        found = [one for one in all_found if one]
        if len(found) == len(all_found):
            names = ("accuracy", "balanced_accuracy", "auroc", "ece", "unsure_share",
                     "decided_accuracy", "known_accuracy", "unknown_auroc")  # fmt: skip
            mean = {n: sum(f[n] for f in found) / len(found) for n in names
                    if all(n in f for f in found)}  # fmt: skip
            mean["pictures"] = sum(f["pictures"] for f in found)
            title = f"**{title}: mean of the {len(found)}**"
            rows.append([title, model, *(text(mean) for text in COLUMNS.values())])
    return markdown(["test", "model", *COLUMNS], rows)


def pictures_table(runs: list[Run], folder: Path) -> str:
    """How many pictures each run had, by its reports."""
    rows = []
    for run in runs:
        files = [folder / run.name / name for name in of_pictures()]
        if not all(file.is_file() for file in files):
            continue
        clean, split, crop = (json.loads(file.read_text()) for file in files)
        dataset = TASKS[run.task][1]
        faces = run.task == "characters" and run.params["facecrop"]["detector"] != "none"
        rows.append(
            [
                run.title,
                *(str(sum(split[dataset][name].values())) for name in ("train", "val", "test")),
                str(sum(clean[dataset]["quarantined"].values())),
                str(split[dataset]["near_duplicates"]),
                f"{crop['detection_rate']:.0%}" if faces else "",
            ]
        )
    head = ["test", "train", "val", "test pictures", "quarantine", "near-duplicates", "face found"]
    return markdown(head, rows)


def concerns(run: Run, key: str) -> bool:
    """Whether a parameter has a part in what the run measures."""
    section, name, *_ = key.split(".")
    if section == "train":
        return name in run.models
    if section == "data":
        return name == TASKS[run.task][1]
    return section != "facecrop" or run.task == "characters"


def params_table(runs: list[Run]) -> str:
    """Parameters that differ from params.yaml, and in which runs."""
    defaults = dict(flat(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))))
    where: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for key, value in flat(run.params):
            if value != defaults.get(key) and concerns(run, key):
                where.setdefault((key, str(value)), []).append(run.name)
    rows = [
        [f"`{key}`", f"`{defaults.get(key)}`", f"`{value.replace('|', chr(92) + '|')}`",
         "all" if len(names) == len(runs) else ", ".join(names)]
        for (key, value), names in sorted(where.items())
    ]  # fmt: skip
    return markdown(["parameter", "default", "here", "runs"], rows)


def page(runs: list[Run], folder: Path) -> str:
    """docs/results.md."""
    paragraphs = [
        "# Results on real pictures",
        "`make results` writes this page from the figures of its runs; nothing is entered by hand. "
        "Every model is measured by the same code on the same pictures, none of which (nor a "
        "near-duplicate) it was trained on. *Accuracy* has its 95 % interval (bootstrap, 1000 "
        "resamples); *balanced* is the mean of the classes' recalls; *ECE* the expected "
        "calibration error (15 bins); *unsure* the share of pictures that a model leaves "
        "undecided, by thresholds from its validation pictures, and *accuracy of the others* what "
        "it is worth where it decides. *ms an image* is the exported model's median time for one "
        "file on this machine's processor or GPU.",
    ]
    for task, (title, _) in TASKS.items():
        chosen = [run for run in runs if run.task == task]
        paragraphs += [f"## {title}", task_table(chosen, folder)]
    paragraphs += ["## Pictures", pictures_table(runs, folder)]
    paragraphs += ["## Parameters that differ from `params.yaml`", params_table(runs)]
    return "\n\n".join(paragraphs) + "\n"


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
