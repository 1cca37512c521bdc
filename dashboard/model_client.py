"""The dashboard's access to the model server: one client, and models asked in parallel."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import streamlit as st

from celflow import params
from celflow.images import encode_png
from celflow.params import Task
from serving.client import BadInput, Client, ModelNotFound, ServerError, default_address
from serving.labels import LABELS


@dataclass(frozen=True)
class Answer:
    """What one version of a classifier answered about each picture it was sent.

    rankings: a list for each picture, of names and scores (0 to 1), the highest score first.
    verdicts: for each picture the name that the model stands by, or "unsure".
    milliseconds: of the whole request.
    """

    model: str
    version: int
    rankings: list[list[tuple[str, float]]]
    verdicts: list[str]
    milliseconds: float


Outcome = Answer | ServerError

_GREY = encode_png(np.full((64, 64, 3), 127, np.uint8))


@st.cache_resource(show_spinner=False)
def _client(address: str) -> Client:
    return Client(address)


def client() -> Client:
    """The one client of this process for the server that `CELFLOW_SERVER` names."""
    return _client(default_address())


def models_of(task: Task) -> list[str]:
    """Names of the task's models, in the order of params.yaml."""
    return [name for name, model in params.load().models.items() if model.task == task]


def classify(model: str, pictures: Sequence[bytes], version: int | str = "stable") -> Outcome:
    """Ask one classifier about the pictures; an error is returned, to be shown in its place.

    version: a number or a version label.
    """
    return _classify(client(), model, pictures, version)


def classify_by_all(models: Sequence[str], pictures: Sequence[bytes]) -> dict[str, Outcome]:
    """`classify` by the stable version of each model, all at the same time."""
    if not models:
        return {}
    connection = client()  # Streamlit's cache is out of reach in threads of one's own
    with ThreadPoolExecutor(len(models)) as threads:
        outcomes = threads.map(
            lambda model: _classify(connection, model, pictures, "stable"), models
        )
        return dict(zip(models, outcomes, strict=True))


def classify_each(model: str, pictures: Sequence[bytes]) -> list[Outcome]:
    """`classify` by the stable version, each picture by itself, many at the same time."""
    connection = client()
    with ThreadPoolExecutor(8) as threads:
        return list(
            threads.map(lambda one: _classify(connection, model, [one], "stable"), pictures)
        )


def draw(
    model: str, picture: bytes, styles: dict[str, float], version: int | str = "stable"
) -> tuple[bytes, str]:
    """An image model's drawing of a picture, as PNG, and a note: version and time.

    styles: further inputs of its signature `styled`, from 0 to 1.

    Raises:
        ServerError: there is no answer.
    """
    prediction = client().draw(model, picture, version, **styles)
    drawing: bytes = prediction.output("image_png", "an image model")[0]
    return drawing, f"version {prediction.version} · {prediction.milliseconds:.0f} ms"


def available_versions(model: str) -> list[int]:
    """Versions of the model that answer now, the newest first; none where it is not served.

    Raises:
        ServerError: the server is down.
    """
    return _available_versions(client(), model)


def labelled_versions(model: str) -> dict[str, int]:
    """Which version each label names now: `stable`, and `canary` where there is one.

    Raises:
        ServerError: the server is down.
    """
    return _labelled_versions(default_address(), model)


@st.cache_data(ttl=30, show_spinner=False)
def _labelled_versions(address: str, model: str) -> dict[str, int]:
    found = {}
    for name in LABELS.values():
        try:
            found[name] = client().predict(model, [_GREY], name).version
        except (ModelNotFound, BadInput):
            continue
    return found


def all_available_versions(models: Sequence[str]) -> dict[str, list[int]]:
    """`available_versions` of each model, all asked at the same time.

    Raises:
        ServerError: the server is down.
    """
    if not models:
        return {}
    connection = client()
    with ThreadPoolExecutor(len(models)) as threads:
        found = threads.map(lambda model: _available_versions(connection, model), models)
        return dict(zip(models, found, strict=True))


def _classify(
    connection: Client, model: str, pictures: Sequence[bytes], version: int | str
) -> Outcome:
    try:
        prediction = connection.predict(model, pictures, version)
        found = prediction.classifications()
    except ServerError as error:
        return error
    rankings = [list(zip(one.names, one.scores, strict=True)) for one in found]
    verdicts = [one.verdict for one in found]
    return Answer(model, prediction.version, rankings, verdicts, prediction.milliseconds)


def _available_versions(connection: Client, model: str) -> list[int]:
    try:
        states = connection.status(model)
    except ModelNotFound:
        return []
    return sorted((one.version for one in states if one.state == "AVAILABLE"), reverse=True)
