"""Page: two models, or two versions of one model, on the same picture."""

from collections.abc import Sequence

import streamlit as st

from celflow import params
from celflow.faces import Box
from celflow.images import encode_png, shrink
from celflow.params import Params
from dashboard import compare_on_test, face_boxes, model_client, picture_input, widgets
from dashboard.model_client import Answer, Outcome
from dashboard.picture_input import Picture
from serving.client import ServerDown, ServerError
from serving.client.faces import DETECTOR

TOP = 5  # names shown for each model
MAX_SIDE = 512  # px; larger pictures are shrunk to this before an image model gets them


def page() -> None:
    """Whether both answers agree, which versions gave them, and how fast."""
    config = params.load()
    st.title("Compare")
    answers = picture_input.answers_first(config.data)
    if answers is None:
        return
    with answers:
        picture = picture_input.current()
        if picture is not None:
            _answer(picture, config)


def _answer(picture: Picture, config: Params) -> None:
    left, right = st.columns(widgets.COLUMNS, gap="medium")
    with right:
        answers = st.container()  # above the choice: on a phone's first screen
        chosen = _choose_two(config)
    if chosen is None:
        return
    task = config.task(chosen[0][0])
    data = picture.data
    boxes: list[Box] = []
    if task == "characters":
        try:
            boxes = face_boxes.faces_of(picture, config.facecrop)
        except ServerError as error:
            with right:
                widgets.show_error(error, DETECTOR)
            return
        with right:
            data = encode_png(face_boxes.cut(picture, _choose_face(boxes, picture)))
    with left:
        face_boxes.show(picture, boxes)
    if task not in params.CLASSIFICATION_TASKS:
        with answers:
            _show_drawings(chosen, encode_png(shrink(picture.pixels, MAX_SIDE)))
        return
    # One after the other, so that neither is slowed down by the other.
    outcomes = [
        (model, version, model_client.classify(model, [data], version)) for model, version in chosen
    ]
    with answers:
        _show(outcomes)
    compare_on_test.show(chosen, config)


def _show_drawings(chosen: Sequence[tuple[str, int | str]], picture: bytes) -> None:
    for column, (model, version) in zip(st.columns(2, gap="medium"), chosen, strict=True):
        with column:
            try:
                data, note = model_client.draw(model, picture, {}, version)
            except ServerError as error:
                widgets.show_error(error, model, version)
                continue
            st.image(data, caption=f"{model}, {note}", alt=f"What {model} draws")


def _choose_two(config: Params) -> list[tuple[str, int | str]] | None:
    models = [name for name in config.models if config.task(name) != "faces"]
    columns = st.columns(2, gap="medium")
    try:
        with columns[0]:
            first = st.selectbox("Model", models, key="model-a")
            version_a = _choose_version(first, "version-a")
        candidates = model_client.models_of(config.task(first))
        # Champion against challenger, or the version before; of a single one, another model.
        rivals = len(model_client.available_versions(first)) > 1
        other = first if rivals else next((m for m in candidates if m != first), first)
        with columns[1]:
            # The key names the first model, because its task decides which models are on offer.
            second = st.selectbox(
                "Compare with", candidates, candidates.index(other), key=f"model-b-{first}"
            )
            version_b = _choose_version(second, f"version-b-{first}", rival=second == first)
    except ServerDown as error:
        widgets.show_error(error, "")
        return None
    return [(first, version_a), (second, version_b)]


def _choose_version(model: str, key: str, rival: bool = False) -> int | str:
    """A version or label of a model. rival: the challenger first, or the champion's forerunner."""
    numbers = model_client.available_versions(model)
    labelled = model_client.labelled_versions(model) if rival else {}
    options: list[int | str] = ["stable", "canary", *numbers]
    index = 0
    if rival and "canary" in labelled:
        index = 1
    elif rival:
        others = [number for number in numbers if number != labelled.get("stable")]
        index = options.index(others[0]) if others else 0
    return st.selectbox("Version", options, index, widgets.label, key=f"{key}-{model}")


def _choose_face(boxes: Sequence[Box], picture: Picture) -> Box:
    if not boxes:
        st.caption("No face was found: the models get the whole picture instead.")
        return face_boxes.whole(picture)
    if len(boxes) == 1:
        return boxes[0]
    numbers = range(len(boxes))
    number = st.selectbox("Face", numbers, format_func=lambda n: f"Face {n + 1}", key="face")
    return boxes[number]


def _show(outcomes: Sequence[tuple[str, int | str, Outcome]]) -> None:
    down = next((outcome for *_, outcome in outcomes if isinstance(outcome, ServerDown)), None)
    if down is not None:
        widgets.show_error(down, "")
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
                widgets.show_error(outcome, model, version)
                continue
            widgets.show_bars(model, widgets.note(outcome), outcome.rankings[0][:TOP])


def _show_agreement(a: Answer, b: Answer) -> None:
    name_a, name_b = a.verdicts[0], b.verdicts[0]
    if (a.model, a.version) == (b.model, b.version):
        widgets.show_verdict(f"Both say {name_a}", "it is the same version on both sides")
    elif name_a == name_b:
        widgets.show_verdict(f"Both say {name_a}", "they agree")
    else:
        who_a, who_b = a.model, b.model
        if who_a == who_b:
            who_a, who_b = f"version {a.version}", f"version {b.version}"
        note = f"{who_a} says {name_a}, {who_b} {name_b}"
        widgets.show_verdict("They disagree", note, agreed=False)
