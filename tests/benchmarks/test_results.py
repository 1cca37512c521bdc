"""The table of real runs, and the page that is written from their metrics."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks import results
from benchmarks.parts import results_page
from celflow import params

ROOT = Path(__file__).parents[2]
SPLIT = {"train": {"a": 3, "b": 4}, "val": {"a": 1}, "test": {"a": 2, "b": 2}, "near_duplicates": 1}


def test_every_run_has_valid_parameters_and_models(tmp_path):
    known = params.load(ROOT / "params.yaml").models
    names = [run.name for run in results.read_runs()]
    assert len(names) == len(set(names)) >= 6
    for run in results.read_runs():
        results.prepare(tmp_path / run.name, run, "/somewhere/real")
        read = params.load(tmp_path / run.name / "params.yaml")
        assert {known[model].task for model in run.models} == {run.task}
        assert read.data.folder(results_page.TASKS[run.task][1]).is_relative_to("/somewhere/real")
        assert (tmp_path / run.name / "stages/train.py").is_file()
        assert not (tmp_path / run.name / "dvc.lock").exists()


def test_each_source_is_kept_for_the_test_once():
    drawn = ("clipart", "creature", "illustration", "portrait", "poster", "screen", "storybook")
    photos = ("animals", "bsds_train", "bsds_val", "clothes", "greyface", "night", "receipt",
              "things", "travel")  # fmt: skip
    splits = [run.params["split"] for run in results.read_runs() if run.mean]
    folds = [split["test_sources"] for split in splits if "test_sources" in split]
    assert len(folds) == 4
    for source in drawn + photos:
        assert sum(bool(re.search(pattern, f"{source}_001.jpg")) for pattern in folds) == 1
    for pattern in folds:  # both classes in each
        for sources in (drawn, photos):
            assert any(re.search(pattern, f"{source}_001.jpg") for source in sources)
    held = [name for split in splits for name in split.get("held_out_classes", ())]
    assert len(held) == len(set(held)) == 16
    (last,) = [run for run in results.read_runs() if run.name == "characters3"]
    tested = [n for n in range(1, 40)
              if re.search(last.params["split"]["test_sources"], f"{n}.jpg.png")]  # fmt: skip
    assert tested == [31, 32, 33, 34, 35, 36]


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_the_page_has_every_metric_and_no_path(tmp_path):
    runs = results.read_runs()
    assert "Not run yet." in results_page.page(runs, tmp_path)
    for i, run in enumerate(runs):
        folder = tmp_path / run.name
        for model in run.models:
            metrics = {"pictures": 100, "accuracy": 0.9 + i / 100, "accuracy_low": 0.85,
                       "accuracy_high": 0.95, "balanced_accuracy": 0.91, "ece": 0.031}  # fmt: skip
            if run.task == "cartoon_or_photo":
                metrics |= {"auroc": 0.987, "unsure_share": 0.12, "decided_accuracy": 0.999}
            write(folder / f"metrics/{model}.json", metrics)
            speed = {"ms_per_image": 12.34, "size_bytes": 2_500_000}
            write(folder / f"reports/speed/{model}.json", speed)
        tasks = ("cartoon_or_photo", "characters")
        write(folder / "reports/clean.json", {task: {"quarantined": {"x": 2}} for task in tasks})
        write(folder / "reports/split.json", dict.fromkeys(tasks, SPLIT))
        write(folder / "reports/facecrop.json", {"detection_rate": 0.96})
    page = results_page.page(runs, tmp_path)
    row = "| a fifth of all pictures, at random | colours | 100 | 0.900 (0.850-0.950) | 0.910 |"
    assert f"{row} 0.987 | 0.031 | 0.120 | 0.999 | 12.3 | 2.5 |" in page
    mean = "| **whole sources never seen: mean of the 4** | colours | 400 | 0.925 | 0.910 |"
    assert f"{mean} 0.987 | 0.031 | 0.120 | 0.999 |" in page
    assert "| 3 characters, whole illustrations, faces found by program | 7 | 1 | 4 | 2 |" in page
    assert "| `split.test_sources` | `None` |" in page and "$CELFLOW_REAL_DATA" in page
    assert str(tmp_path) not in page and str(ROOT) not in page
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.endswith("|") and line.count("|") >= 5


def test_what_was_measured_outlives_the_run(tmp_path):
    for number, models in enumerate([["colours", "edges"], ["edges"]]):
        for model in models:
            for name in results_page.of_model(model):
                write(tmp_path / "run" / name, {"measured": number})
        for name in results_page.of_pictures():
            write(tmp_path / "run" / name, {"measured": number})
        results.keep(tmp_path / "run", tmp_path / "kept", models)
    assert results_page.metrics(tmp_path / "kept", "colours") == {"measured": 0}
    assert results_page.metrics(tmp_path / "kept", "edges") == {"measured": 1}
    assert results_page.metrics(tmp_path / "kept", "gradient") is None


def test_the_page_is_that_of_what_was_measured():
    """Nothing is entered by hand."""
    pages = (
        results.PAGE.read_text("utf-8"),
        results_page.page(results.read_runs(), results.MEASURED),
    )
    tables, wanted = (page.split("## Parameters")[0] for page in pages)
    assert tables == wanted, "python -m benchmarks.results --page-only writes it anew"


def test_a_run_goes_on_with_what_it_has(tmp_path):
    run = results.read_runs()[0]
    results.prepare(tmp_path / "one", run, "/real")
    (tmp_path / "one/dvc.lock").write_text("kept")
    write(tmp_path / "one/metrics/colours.json", {"kept": 1})
    results.prepare(tmp_path / "one", run, "/real")
    assert (tmp_path / "one/dvc.lock").read_text() == "kept"
    assert (
        yaml.safe_load((tmp_path / "one/params.yaml").read_text())["facecrop"]["detector"] == "none"
    )


def test_without_real_pictures_there_is_one_line(tmp_path):
    kept = {key: value for key, value in os.environ.items() if key != "CELFLOW_REAL_DATA"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.results", "--folder", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, env=kept,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: set CELFLOW_REAL_DATA to the folder of real pictures\n"
