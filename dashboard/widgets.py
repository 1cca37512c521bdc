"""What several pages show: a verdict, score bars, and what to do where there is no answer."""

import re
from collections.abc import Sequence
from html import escape

import streamlit as st

from dashboard import model_client
from dashboard.model_client import Answer
from serving.client import Loading, ModelNotFound, ServerDown, ServerError, default_address

COLUMNS = (5, 7)  # widths of every page: the picture on the left, answers on the right


def show_verdict(word: str, note: str, agreed: bool = True) -> None:
    """Show the outcome in a large word, and in a small line how the models arrived at it."""
    look = "verdict" if agreed else "verdict split"
    st.html(
        f'<div class="{look}"><b>{escape(word)}</b><span class="note">{escape(note)}</span></div>'
    )


def show_bars(title: str, note: str, ranking: Sequence[tuple[str, float]]) -> None:
    """Show names and scores (0 to 1), the highest first, as horizontal bars in percent."""
    rows = "".join(_bar(name, score, first=i == 0) for i, (name, score) in enumerate(ranking))
    st.html(
        f'<div class="who"><b>{escape(title)}</b><span>{escape(note)}</span></div>'
        f'<div class="bars">{rows}</div>'
    )


def note(answer: Answer) -> str:
    """Which version answered, and how long it took."""
    return f"version {answer.version} · {answer.milliseconds:.1f} ms"


def show_error(error: ServerError, model: str, version: int | str = "stable") -> None:
    """Show why a model gave no answer, and what to do about it."""
    if isinstance(error, Loading):
        st.info(
            "**The models are still loading.** The page goes on by itself.",
            icon=":material/hourglass_top:",
        )
        _go_on_when_loaded()
    elif isinstance(error, ServerDown):
        st.error(
            f"**The model server is down.** Nothing answers at {escaped(default_address())}. "
            "Start everything with `celflow up`, or the server alone with `celflow serve`.",
            icon=":material/cloud_off:",
        )
    elif isinstance(error, ModelNotFound) and version == "stable":
        st.warning(
            f"**{escaped(error.model or model)} is not served yet.** "
            "Run `dvc repro`, then `celflow deploy`.",
            icon=":material/hourglass_empty:",
        )
    elif isinstance(error, ModelNotFound):
        st.warning(
            f"**{escaped(model)}: {escaped(label(version))} is not served.** "
            "Choose another version, or run `celflow deploy`.",
            icon=":material/hourglass_empty:",
        )
    else:
        st.error(
            f"**{escaped(model)} gave no answer.** {escaped(str(error))}",
            icon=":material/error:",
        )


def label(version: int | str) -> str:
    """How a version number or label is shown."""
    labels = {"stable": "stable (champion)", "canary": "canary (challenger)"}
    return labels.get(str(version), f"version {version}")


def show_table(heads: str, rows: str, what: str) -> None:
    """Show a table that scrolls where it is too wide. heads, rows: HTML. what: its name."""
    st.html(
        f'<div class="table" tabindex="0" role="region" aria-label="{escape(what)}"><table>'
        f"<tr>{heads}</tr>{rows}</table></div>"
    )


def in_words(score: float) -> str:
    """How sure a calibrated score (0 to 1) is."""
    for least, words in ((0.98, "almost certain"), (0.9, "quite sure"), (0.7, "fairly sure")):
        if score >= least:
            return words
    return "a guess"


@st.fragment(run_every=2)
def _go_on_when_loaded() -> None:
    if model_client.client().healthy():
        st.rerun()


def escaped(text: str) -> str:
    """`text` with Markdown's special characters escaped."""
    return re.sub(r"([\\`*_{}\[\]()#+!~|:$<>&])", r"\\\1", text)


def _bar(name: str, score: float, first: bool) -> str:
    percent = min(max(100 * score, 0.0), 100.0)
    best = " best" if first else ""
    return (
        f'<span class="name{best}" title="{escape(name)}">{escape(name)}</span>'
        f'<span class="track{best}"><i style="width:{percent:.1f}%"></i></span>'
        f'<span class="share{best}">{percent:.1f} %</span>'
    )
