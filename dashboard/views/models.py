"""Page: versions of the models, what the server has loaded, promotion and rollback.

All of it is done by the command line's own commands, run by dashboard/command.py.
"""

import base64
from datetime import datetime
from html import escape
from typing import Any

import streamlit as st

from celflow import params
from celflow.params import Params
from dashboard import command, model_client, widgets
from serving.client import ServerError

LINE, LABELS = "#0f7d74", "#808080"  # seen on light and on dark ground
WORDS = 8  # points of the curve that have a number, at most: more would not fit
SHOWN = {"model", "version", "aliases", "created", "data_hash", "git_commit", "gate"}


def page() -> None:
    """Which versions there are, which answers, and whether another one should."""
    config = params.load()
    st.title("Models")
    listed = _listed()
    if listed.error:
        st.warning(widgets.escaped(listed.error), icon=":material/cloud_off:")
        st.button("Ask again", on_click=_listed.clear, key="models-again")
        return
    rows = listed.json() or []
    names = list(dict.fromkeys(row["model"] for row in rows))
    model = st.selectbox("Model", sorted(names, key=_order(config)), key="models-model")
    versions = [row for row in rows if row["model"] == model]
    _loaded(model)
    _table(versions)
    _card(model, config)
    if command.read_only():
        st.caption("This page is read-only: versions are not promoted here.")
    else:
        _promotion(model, versions)


@st.cache_data(ttl=20, show_spinner="Asking MLflow …")
def _listed() -> command.Outcome:
    return command.run(["models", "--json"])


def _order(config: Params) -> Any:
    known = list(config.models)
    return lambda name: known.index(name) if name in known else len(known)


def _loaded(model: str) -> None:
    try:
        states = model_client.client().status(model)
    except ServerError as error:
        widgets.show_error(error, model)
        return
    lines = ", ".join(
        f"version {one.version} {one.state.lower()}" + (f" ({one.error})" if one.error else "")
        for one in states
    )
    st.caption(f"On the server: {widgets.escaped(lines)}")


def _table(versions: list[dict[str, Any]]) -> None:
    metric = _metric(versions[0])
    lines = "".join(
        "<tr>"
        f"<td>{row['version']}</td><td>{escape(', '.join(row['aliases']))}</td>"
        f"<td>{'' if row[metric] is None else format(row[metric], '.4f')}</td>"
        f"<td>{datetime.fromtimestamp(row['created']):%Y-%m-%d %H:%M}</td>"
        f"<td><code>{escape(row['data_hash'][:8])}</code></td>"
        f"<td><code>{escape(row['git_commit'][:8])}</code></td><td>{escape(row['gate'])}</td></tr>"
        for row in versions
    )
    names = ("version", "alias", metric, "made", "data", "commit", "gate")
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    widgets.show_table(heads, lines, "Versions")
    points = [(row["version"], row[metric]) for row in versions if row[metric] is not None]
    if len(points) > 1:
        _curve(points, metric)


def _curve(points: list[tuple[int, float]], metric: str) -> None:
    """A metric over versions, as a picture with alternative text: Vega's charts have none."""
    ordered = sorted(points)
    low, high = min(value for _, value in ordered), max(value for _, value in ordered)
    places = [
        (40 + 320 * i / (len(ordered) - 1), 130 - 100 * (value - low) / (high - low or 1))
        for i, (_, value) in enumerate(ordered)
    ]
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
    marks = "".join(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{LINE}"/>' for x, y in places)
    every = -(-len(ordered) // WORDS)
    named = list(zip(places, ordered, strict=True))[::-1][::every]  # the latest in any case
    marks += "".join(
        f'<text x="{x:.0f}" y="{y - 10:.0f}">{value:.3f}</text>'
        f'<text x="{x:.0f}" y="165">v{version}</text>'
        for (x, y), (version, value) in named
    )
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 180" font-family="sans-serif"'
        f' font-size="12" fill="{LABELS}" text-anchor="middle">'
        f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>{marks}</svg>'
    )
    data = base64.b64encode(drawn.encode()).decode()
    said = ", ".join(f"version {version} {value:.3f}" for version, value in ordered)
    st.html(
        f'<img src="data:image/svg+xml;base64,{data}" style="width: 100%; max-width: 480px"'
        f' alt="{escape(metric)}: {escape(said)}">'
    )


def _metric(row: dict[str, Any]) -> str:
    return next(key for key in row if key not in SHOWN)


def _card(model: str, config: Params) -> None:
    if model not in config.models:
        return
    from celflow.rooms import FOLDER

    card = FOLDER / config.model(model).code / "card.md"
    if card.is_file():
        with st.expander("Card: how it was trained, and what it reaches"):
            st.markdown(card.read_text(encoding="utf-8"))


def _promotion(model: str, versions: list[dict[str, Any]]) -> None:
    st.subheader("Promote")
    champion = next((r["version"] for r in versions if "champion" in r["aliases"]), None)
    others = [row["version"] for row in versions if row["version"] != champion]
    if not others:
        st.caption("There is only the champion.")
    else:
        version = st.selectbox("Version", others, key=f"promote-version-{model}")
        if st.button("What does the gate say?", key="promote-gate"):
            with st.spinner("Comparing on the test pictures …"):
                st.session_state["gate"] = (model, version, _gate(model, version))
        asked = st.session_state.get("gate")
        if asked is not None and asked[:2] == (model, version):
            _confirm(model, version, *asked[2])
    if any("previous" in row["aliases"] for row in versions) and st.button(
        "Roll back to the champion before", key="rollback"
    ):
        _run(["rollback", model])
    if "promoted" in st.session_state:
        ok, words = st.session_state["promoted"]
        (st.success if ok else st.error)(widgets.escaped(words))


def _gate(model: str, version: int) -> tuple[bool, str]:
    done = command.run(["gate", model, version, "--json"], timeout=300)
    answer = done.json()
    return (False, done.error) if answer is None else (answer["passed"], answer["reason"])


def _confirm(model: str, version: int, passed: bool, why: str) -> None:
    """Show what the gate says, and promote when that is confirmed."""
    (st.success if passed else st.warning)(
        f"**The gate {'lets it pass' if passed else 'holds it back'}:** {widgets.escaped(why)}"
    )
    reason = st.text_input("Reason, for those who look later", key="promote-reason")
    sure = st.checkbox(
        f"Make version {version} the champion of {model}"
        + ("" if passed else ", although the gate holds it back"),
        key=f"promote-sure-{model}-{version}",
    )
    if st.button("Promote", type="primary", key="promote", disabled=not sure):
        force = [] if passed else ["--force"]
        _run(["promote", model, version, *force, *(["--reason", reason] if reason else [])])


def _run(words: list[str | int]) -> None:
    with st.spinner(f"celflow {' '.join(map(str, words))} …"):
        done = command.run(words, timeout=300)
    st.session_state["promoted"] = (not done.error, done.error or done.lines.strip())
    st.session_state.pop("gate", None)
    _listed.clear()
    st.rerun()
