"""Two versions or models on the test pictures: metrics, what they confuse, where they disagree."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import streamlit as st

from celflow import manifest, metrics
from celflow.errors import UserError
from celflow.manifest import Examples
from celflow.params import Params
from dashboard import model_client, tiles, widgets
from serving.client import BadInput, Prediction, ServerError

Chosen = tuple[str, int | str]
MEASURES = ("accuracy", "balanced_accuracy")


def show(chosen: Sequence[Chosen], config: Params) -> None:
    """Offer the comparison, and show it where the visitor asked for it."""
    st.subheader("On the test pictures")
    try:
        test = manifest.read(config.dataset(chosen[0][0]))["test"]
    except UserError as error:
        st.caption(widgets.escaped(str(error)))
        return
    if not len(test):
        st.caption("There are none: see split.test in params.yaml.")
        return
    if not st.toggle(f"Ask both about all {len(test)}", key="compare-test"):
        return
    try:
        scores = [_scores(model, version, test) for model, version in chosen]
    except ServerError as error:
        widgets.show_error(error, chosen[0][0])
        return
    names = [f"{model}, {widgets.label(version)}" for model, version in chosen]
    _metrics(names, scores, test)
    _confusion(scores, test)
    _disagreements(names, scores, test)


def _scores(model: str, version: int | str, test: Examples) -> np.ndarray:
    """float [N, C + 1] of the test pictures; the last column is what is none of their labels."""
    return _asked(model, version, tuple(test.paths), tuple(test.labels))


@st.cache_data(max_entries=8, ttl=600, show_spinner="Asking about the test pictures …")
def _asked(
    model: str, version: int | str, paths: tuple[str, ...], labels: tuple[str, ...]
) -> np.ndarray:
    rows = []
    answers = model_client.client().predict_many(model, map(Path, paths), version)
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, BadInput):
            raise BadInput(f"{path}: {answer}", answer.code)
        rows.append(_row(answer, labels))
    return np.array(rows)


def _row(answer: Prediction, labels: tuple[str, ...]) -> list[float]:
    best = answer.classifications()[0]
    found = dict(zip(best.names, best.scores, strict=True))
    known = [found.pop(label, 0.0) for label in labels]
    return [*known, sum(found.values())]


def _metrics(names: Sequence[str], scores: Sequence[np.ndarray], test: Examples) -> None:
    rows = ""
    for name, one in zip(names, scores, strict=True):
        values = {
            "accuracy": metrics.accuracy(test.truth, one),
            "balanced_accuracy": metrics.balanced_accuracy(test.truth, one),
        }
        ends = metrics.intervals(test.truth, one)
        cells = "".join(
            f"<td>{values[measure]:.3f} ({ends[f'{measure}_low']:.3f} to "
            f"{ends[f'{measure}_high']:.3f})</td>"
            for measure in MEASURES
        )
        rows += f"<tr><td>{escape(name)}</td>{cells}</tr>"
    heads = "".join(f"<th>{escape(head.replace('_', ' '))}</th>" for head in ("", *MEASURES))
    widgets.show_table(heads, rows, "Metrics with 95 % intervals")


def _confusion(scores: Sequence[np.ndarray], test: Examples) -> None:
    """How many more (+) or fewer pictures of a row's class the second one calls a column's."""
    before, after = (metrics.confusion(test.truth, one) for one in scores)
    difference = (after - before)[: len(test.labels)]
    if not difference.any():
        st.caption("Both confuse the same classes equally often.")
        return
    names = [*test.labels, "other"]
    used = [i for i in range(len(names)) if difference[:, i].any()]
    rows = "".join(
        f"<tr><td>{escape(label)}</td>"
        + "".join(f"<td>{difference[row, i]:+d}</td>" for i in used)
        + "</tr>"
        for row, label in enumerate(test.labels)
        if difference[row].any()
    )
    heads = "<th>pictures of</th>" + "".join(f"<th>called {escape(names[i])}</th>" for i in used)
    st.caption("Answers of the second one, more or fewer than of the first:")
    widgets.show_table(heads, rows, "Difference of the confusions")


def _disagreements(names: Sequence[str], scores: Sequence[np.ndarray], test: Examples) -> None:
    words = [*test.labels, "other"]
    first, second = (one.argmax(axis=1) for one in scores)
    at = np.flatnonzero(first != second)
    if not len(at):
        st.caption("They agree about every picture.")
        return
    better = int((first[at] == test.truth[at]).sum()), int((second[at] == test.truth[at]).sum())
    st.caption(
        widgets.escaped(
            f"They disagree about {len(at)} pictures: {names[0]} is right about {better[0]}, "
            f"{names[1]} about {better[1]}."
        )
    )
    tiles.show(
        [
            (
                f"{words[test.truth[i]]}: called {words[first[i]]} and {words[second[i]]}",
                Path(test.paths[i]),
            )
            for i in at
        ],
        lambda n: "",
        key="disagreements",
    )
