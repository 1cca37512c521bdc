"""Page: two models, or two versions of one, on the same picture."""

from collections.abc import Sequence

import streamlit as st

from celflow import params
from celflow.faces import Box
from celflow.images import encode_png, shrink
from celflow.params import Params
from dashboard import answers, pictures, server
from dashboard.pictures import Picture
from dashboard.server import Answer, Outcome
from serving.client import ServerDown, ServerError, VersionSpec

BEST = 5  # names a model
DRAWN = 512  # px; larger pictures are shrunk to this before they are drawn


def page() -> None:
    """Do they agree, which version said what, and how fast?"""
    settings = params.load()
    st.title("Compare")
    picture = pictures.choose(settings.data)
    if picture is None:
        return
    left, right = st.columns(pictures.COLUMNS, gap="medium")
    with right:
        chosen = _choose_two(settings)
    if chosen is None:
        return
    data, boxes = picture.data, list[Box]()
    if settings.task(chosen[0][0]) == "characters":
        boxes = pictures.faces_of(picture, settings.facecrop)
        with right:
            data = encode_png(pictures.cut(picture, _choose_face(boxes, picture)))
    with left:
        pictures.show(picture, boxes)
    if settings.task(chosen[0][0]) not in params.CLASSIFICATION_TASKS:
        with right:
            _show_drawings(chosen, encode_png(shrink(picture.pixels, DRAWN)))
        return
    # One after the other, so that neither is slowed down by the other.
    outcomes = [(model, version, server.ask(model, [data], version)) for model, version in chosen]
    with right:
        _show(outcomes)


def _show_drawings(chosen: Sequence[tuple[str, VersionSpec]], picture: bytes) -> None:
    for column, (model, version) in zip(st.columns(2, gap="medium"), chosen, strict=True):
        with column:
            try:
                data, note = server.draw(model, picture, {}, version)
            except ServerError as error:
                answers.show_error(error, model, version)
                continue
            st.image(data, caption=f"{model}, {note}")


def _choose_two(settings: Params) -> list[tuple[str, VersionSpec]] | None:
    models = list(settings.models)
    columns = st.columns(2, gap="medium")
    try:
        with columns[0]:
            first = st.selectbox("Model", models, key="model-a")
            version_a = _choose_version(first, "version-a", newest=False)
        rivals = server.models_of(settings.task(first))
        other = next((model for model in rivals if model != first), first)
        with columns[1]:
            # The key has the first model in it: with another task, other models are on offer.
            second = st.selectbox("against", rivals, rivals.index(other), key=f"model-b-{first}")
            version_b = _choose_version(second, "version-b", newest=second == first)
    except ServerDown as error:
        answers.show_error(error, "")
        return None
    return [(first, version_a), (second, version_b)]


def _choose_version(model: str, key: str, newest: bool) -> VersionSpec:
    numbers = server.available(model)
    options: list[VersionSpec] = ["stable", "canary", *numbers]
    index = 2 if newest and numbers else 0
    return st.selectbox("Version", options, index, answers.label, key=f"{key}-{model}")


def _choose_face(boxes: Sequence[Box], picture: Picture) -> Box:
    if not boxes:
        st.caption("No face was found: the whole picture stands for the face.")
        return pictures.whole(picture)
    if len(boxes) == 1:
        return boxes[0]
    numbers = range(len(boxes))
    number = st.selectbox("Face", numbers, format_func=lambda n: f"Face {n + 1}", key="face")
    return boxes[number]


def _show(outcomes: Sequence[tuple[str, VersionSpec, Outcome]]) -> None:
    down = next((outcome for *_, outcome in outcomes if isinstance(outcome, ServerDown)), None)
    if down is not None:
        answers.show_error(down, "")
        return
    found = [outcome for *_, outcome in outcomes if isinstance(outcome, Answer)]
    if len(found) == len(outcomes):
        with st.container(key="agreement"):
            _show_agreement(*found)
    for side, column, (model, version, outcome) in zip(
        "ab", st.columns(2, gap="medium"), outcomes, strict=True
    ):
        with column, st.container(key=f"answer-{side}"):
            if not isinstance(outcome, Answer):
                answers.show_error(outcome, model, version)
                continue
            answers.show_bars(model, answers.note(outcome), outcome.rankings[0][:BEST])


def _show_agreement(a: Answer, b: Answer) -> None:
    name_a, name_b = a.verdicts[0], b.verdicts[0]
    if (a.model, a.version) == (b.model, b.version):
        answers.show_verdict(f"Both say {name_a}", "it is one and the same version on both sides")
    elif name_a == name_b:
        answers.show_verdict(f"Both say {name_a}", "they agree")
    else:
        told = f"{name_a} on the left, {name_b} on the right"
        answers.show_verdict("They disagree", told, agreed=False)
