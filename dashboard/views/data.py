"""Page: what the pipeline made of the raw pictures, and what it put aside."""

import json
from collections import Counter
from html import escape
from pathlib import Path

import pandas as pd
import streamlit as st

from celflow.params import DATASETS, Dataset
from dashboard import tiles, widgets

QUARANTINE = Path("data/quarantine")
SPLITS = ("train", "val", "test", "unknown")


def page() -> None:
    """Counts, quarantine, pictures without a face, and near-duplicates across classes."""
    st.title("Data")
    dataset = st.segmented_control(
        "Dataset", DATASETS, default=DATASETS[0], key="data-dataset", required=True
    )
    splits = Path("data/split") / f"{dataset}.csv"
    table = _table(splits, _changed(splits))
    if table is None:
        st.info(f"There is no {splits} yet: run `dvc repro split`.", icon=":material/dataset:")
    else:
        _counts(table)
        _across(table)
    _quarantine(dataset)
    if dataset == "characters":
        _no_face()


def _changed(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


@st.cache_data(max_entries=8, show_spinner=False)
def _table(path: Path, changed: float) -> pd.DataFrame | None:
    return pd.read_csv(path, dtype=str, keep_default_na=False) if path.is_file() else None


def _counts(table: pd.DataFrame) -> None:
    st.subheader(f"{len(table)} pictures by class and split")
    counts = pd.crosstab(table["label"], table["split"])
    splits = [split for split in SPLITS if split in counts]
    rows = "".join(
        f"<tr><td>{escape(str(label))}</td>"
        + "".join(f"<td>{row[split]}</td>" for split in splits)
        + f"<td>{sum(row[split] for split in splits)}</td></tr>"
        for label, row in counts.iterrows()
    )
    heads = "".join(f"<th>{escape(head)}</th>" for head in ("class", *splits, "all"))
    widgets.show_table(heads, rows, "Counts")


def _across(table: pd.DataFrame) -> None:
    """Groups of near-duplicates that have more than one label."""
    labels = table.groupby("group")["label"].nunique()
    groups = labels[labels > 1].index
    st.subheader("Near-duplicates across classes")
    if not len(groups):
        st.caption("None: no group of near-duplicates has two labels.")
        return
    st.caption(f"{len(groups)} groups have more than one label: one of them is wrong.")
    for group in list(groups)[:20]:
        rows = table[table["group"] == group]
        names = [f"{row.label}: {Path(str(row.path)).name}" for row in rows.itertuples()]
        with st.container(key=f"across-{group}"):
            st.caption(widgets.escaped(" · ".join(names)))
            paths = [(name, Path(path)) for name, path in zip(names, rows["path"], strict=True)]
            tiles.show(paths, lambda n: "", key=f"tiles-across-{group}")


def _quarantine(dataset: Dataset) -> None:
    st.subheader("Quarantine")
    report = Path("reports/clean.json")
    found = _report(report, _changed(report)).get(dataset, {}).get("quarantine", [])
    if not found:
        st.caption("No file was put aside.")
        return
    counts = Counter(one["reason"] for one in found)
    reason = st.segmented_control(
        "Reason", list(counts),
        format_func=lambda name: f"{name.replace('_', ' ')} ({counts[name]})",
        default=next(iter(counts)), key=f"quarantine-{dataset}", required=True,
    )  # fmt: skip
    chosen = [one for one in found if one["reason"] == reason]
    folder = QUARANTINE / dataset / str(reason)
    tiles.show(
        [(one["file"], folder / one["file"]) for one in chosen], lambda n: "", key="quarantined"
    )
    for one in chosen[:50]:
        st.caption(widgets.escaped(f"{one['file']}: {one['why']}"))


@st.cache_data(max_entries=4, show_spinner=False)
def _report(path: Path, changed: float) -> dict[str, dict[str, list[dict[str, str]]]]:
    try:
        content: dict[str, dict[str, list[dict[str, str]]]] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def _no_face() -> None:
    path = Path("reports/no_face.csv")
    table = _table(path, _changed(path))
    st.subheader("No face found")
    if table is None or not len(table):
        st.caption("In every picture a face was found." if table is not None else f"No {path} yet.")
        return
    column = "path" if "path" in table else table.columns[0]
    paths = [(Path(name).name, Path(name)) for name in table[column]]
    tiles.show(paths, lambda n: "", key="no-face")
