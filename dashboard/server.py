"""The page's side of the model server: one client, questions in parallel, the status line."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape

import streamlit as st

from celflow import params
from celflow.params import Task
from serving.client import (
    Client,
    ModelNotFound,
    ServerDown,
    ServerError,
    VersionSpec,
    default_address,
)


@dataclass(frozen=True)
class Answer:
    """What one version of one model said about each picture it was sent.

    rankings: a list a picture, of names and scores (0 to 1), the best first.
    verdicts: a name a picture, or "unsure".
    milliseconds: of the whole request.
    """

    model: str
    version: int
    rankings: list[list[tuple[str, float]]]
    verdicts: list[str]
    milliseconds: float


Outcome = Answer | ServerError


@st.cache_resource(show_spinner=False)
def _client(address: str) -> Client:
    return Client(address)


def client() -> Client:
    """The one client of this process for the server that `CELFLOW_SERVER` names."""
    return _client(default_address())


def models_of(task: Task) -> list[str]:
    """Names of the task's models, in the order of params.yaml."""
    return [name for name, model in params.load().models.items() if model.task == task]


def ask(model: str, pictures: Sequence[bytes], version: VersionSpec = "stable") -> Outcome:
    """Let one model look at the pictures; what goes wrong is returned, to be shown in its place."""
    return _ask(client(), model, pictures, version)


def ask_all(models: Sequence[str], pictures: Sequence[bytes]) -> dict[str, Outcome]:
    """`ask` the stable version of each model, all at the same time."""
    if not models:
        return {}
    connection = client()  # Streamlit's cache is out of reach in threads of one's own
    with ThreadPoolExecutor(len(models)) as threads:
        outcomes = threads.map(lambda model: _ask(connection, model, pictures, "stable"), models)
        return dict(zip(models, outcomes, strict=True))


def draw(
    model: str, picture: bytes, styles: dict[str, float], version: VersionSpec = "stable"
) -> tuple[bytes, str]:
    """What a picture model makes of a picture, as PNG, and a note on who did it and how fast.

    styles: further inputs of its signature `styled`, from 0 to 1.

    Raises:
        ServerError: there is no answer.
    """
    prediction = client().draw(model, picture, version, **styles)
    data = prediction.output("image_png", "a picture model")[0]
    return data, f"version {prediction.version} · {prediction.milliseconds:.0f} ms"


def available(model: str) -> list[int]:
    """Versions of the model that answer now, the newest first; none where it is not served.

    Raises:
        ServerError: the server is down.
    """
    return _available(client(), model)


def show_status() -> None:
    """Say in a few lines where the server is, whether it is up, and what it serves."""
    models = list(params.load().models)
    connection = client()
    try:
        with ThreadPoolExecutor(len(models) or 1) as threads:
            served = list(threads.map(lambda model: _available(connection, model), models))
        state, rows = "up", dict(zip(models, served, strict=True))
    except ServerDown:
        state, rows = "down", {}
    except ServerError:
        state, rows = "unclear", {}
    lines = "".join(
        f"<li><span>{escape(model)}</span><span>{_versions(numbers)}</span></li>"
        for model, numbers in rows.items()
    )
    with st.container(key="status", gap="xsmall"):
        st.html(
            f'<div class="status"><p><i class="dot {state}"></i>Model server: <b>{state}</b></p>'
            f"<p><code>{escape(default_address())}</code></p><ul>{lines}</ul></div>"
        )
        st.button("Ask again", icon=":material/refresh:", key="again", type="tertiary")


def _ask(connection: Client, model: str, pictures: Sequence[bytes], version: VersionSpec) -> Outcome:
    try:
        prediction = connection.predict(model, pictures, version)
        found = prediction.classifications()
    except ServerError as error:
        return error
    rankings = [list(zip(one.names, one.scores, strict=True)) for one in found]
    verdicts = [one.verdict for one in found]
    return Answer(model, prediction.version, rankings, verdicts, prediction.milliseconds)


def _available(connection: Client, model: str) -> list[int]:
    try:
        states = connection.status(model)
    except ModelNotFound:
        return []
    return sorted((one.version for one in states if one.state == "AVAILABLE"), reverse=True)


def _versions(numbers: Sequence[int]) -> str:
    return ", ".join(f"v{number}" for number in numbers) or "not served"
