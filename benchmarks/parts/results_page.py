"""docs/results.md, from the metrics of the runs of results.yaml."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).parents[2]
LEFT_OUT = ROOT / "stages/models/photo_compact/left_out.csv"
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


def flat(content: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def of_pictures() -> list[str]:
    """The reports on a run's pictures."""
    return [f"reports/{name}.json" for name in ("clean", "split", "facecrop")]


def of_model(model: str) -> list[str]:
    """A model's metrics and its speed."""
    return [f"metrics/{model}.json", f"reports/speed/{model}.json"]


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
    "cartoon score": number("cartoon_score"),
    "flat": number("flat_share", 2),
    "64 colours": number("colour_coverage", 2),
    "called a cartoon": number("called_cartoon", 2),
    "mirror change": number("mirror_change", 2),
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


def sources_table() -> str:
    """Of photo_compact: recall on each source, by networks that were taught without it."""
    answers = pd.read_csv(LEFT_OUT)
    answers["right"] = (answers["1"] > 0.5) == answers["truth"]
    by_source = answers.groupby(["truth", "source"])["right"].agg(["size", "mean"])
    rows = [
        [source, ("cartoon", "photo")[truth], str(size), f"{mean:.3f}"]
        for (truth, source), (size, mean) in zip(
            by_source.index, by_source.itertuples(index=False), strict=True
        )
    ]
    mean = by_source["mean"].groupby("truth").mean().mean()
    rows += [["**mean of both classes**", "", str(len(answers)), f"{mean:.3f}"]]
    rows += [["**worst**", "", "", f"{by_source['mean'].min():.3f}"]]
    return markdown(["left out", "is", "pictures", "recall"], rows)


def page(runs: list[Run], folder: Path) -> str:
    """docs/results.md."""
    paragraphs = [
        "# Results on real pictures",
        "`make results` writes this page from the metrics of its runs; nothing is entered by hand. "
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
        if task == "cartoon_or_photo":
            paragraphs += [
                "### Source by source",
                "The released `photo_compact` has seen all of these; networks that were taught, "
                "shorter, without two sources answer here (stages/models/photo_compact/card.md).",
                sources_table(),
            ]
        if task == "characters":
            paragraphs.append(
                "The released encoder of `character_embedding` has learnt from these characters. "
                "Its card has what it does with characters that were held out "
                "(stages/models/character_embedding/card.md)."
            )
    paragraphs += ["## Pictures", pictures_table(runs, folder)]
    paragraphs += ["## Parameters that differ from `params.yaml`", params_table(runs)]
    return "\n\n".join(paragraphs) + "\n"
