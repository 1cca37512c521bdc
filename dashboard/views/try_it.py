"""Page: a picture, one answer, and who is in it."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from celflow import params
from celflow.faces import Box
from celflow.images import encode_png, shrink
from celflow.params import FacecropConfig, Params, Task
from dashboard import before_after, face_boxes, model_client, picture_input, teaching, widgets
from dashboard.model_client import Answer, Outcome
from dashboard.picture_input import Picture
from serving.client import ServerDown, ServerError
from serving.client.faces import DETECTOR

TOP = 3  # names shown for each face
UNKNOWN, UNSURE = "unknown", "unsure"  # a name, and a verdict, that are no class


def page() -> None:
    """Is it a cartoon or a photograph, and who is in it?"""
    config = params.load()
    st.title("Try it")
    if "picture" not in st.session_state:
        st.write(
            "Drop a picture: celflow says whether it is a cartoon or a photograph, finds the drawn "
            "faces and names them."
        )
    answers = picture_input.answers_first(config.data)
    if answers is None:
        return
    with answers:
        _overview()
        picture = picture_input.current()
        if picture is not None:
            _answer(picture, config)


def _answer(picture: Picture, config: Params) -> None:
    left, right = st.columns(widgets.COLUMNS, gap="medium")
    characters = model_client.models_of("characters")
    boxes, fault = _faces(picture, config.facecrop) if characters else ([], None)
    with left:
        face_boxes.show(picture, boxes)
    with right:
        up = _cartoon_or_photo(picture)
        if up and fault is not None:
            widgets.show_error(fault, DETECTOR)
        elif up and characters:
            _who_is_it(picture, boxes, characters)
        if up:
            _drawings(picture)


def _overview() -> None:
    """One line for each picture, where several were uploaded."""
    chosen = picture_input.all_chosen()
    models = model_client.models_of("cartoon_or_photo")
    if len(chosen) < 2 or not models:
        return
    found = [picture_input.opened(*one) for one in chosen]
    answers = model_client.classify_each(
        models[0], [one.data for one in found if isinstance(one, Picture)]
    )
    words = iter(answers)
    with st.expander(f"{len(chosen)} pictures", icon=":material/photo_library:", expanded=True):
        for number, (name, _) in enumerate(chosen):
            one = found[number]
            answer = next(words) if isinstance(one, Picture) else None
            if isinstance(answer, Answer):
                verdict = answer.verdicts[0].capitalize()
                line = f"{verdict}, {widgets.in_words(answer.rankings[0][0][1])}"
            else:
                line = str(one if answer is None else answer)
            with st.container(horizontal=True, vertical_alignment="center", key=f"row-{number}"):
                if isinstance(one, Picture):
                    st.image(shrink(one.pixels, 96), width=48, alt="")
                st.button(
                    widgets.escaped(name), key=f"look-{number}", type="tertiary",
                    on_click=picture_input.look_at, args=(number,),
                )  # fmt: skip
                st.write(widgets.escaped(line))


def _faces(picture: Picture, config: FacecropConfig) -> tuple[list[Box], ServerError | None]:
    """The faces, or why the face detector gave no answer."""
    try:
        return face_boxes.faces_of(picture, config), None
    except ServerError as error:
        return [], error


def _cartoon_or_photo(picture: Picture) -> bool:
    """Show what this task's first model answers, and what the others do below it.

    False where the server is down, which is shown.
    """
    models = model_client.models_of("cartoon_or_photo")
    outcomes = model_client.classify_by_all(models, [picture.data])
    if not outcomes:
        return True
    with st.container(key="cartoon-or-photo"):
        for model, outcome in outcomes.items():
            if isinstance(outcome, ServerDown):
                widgets.show_error(outcome, model)
                return False
        (model, first), *others = outcomes.items()
        if not isinstance(first, Answer):
            widgets.show_error(first, model)
        else:
            verdict, score = first.verdicts[0], first.rankings[0][0][1]
            sure = "between the two" if verdict == UNSURE else widgets.in_words(score)
            note = f"{sure} · {model} says so, {widgets.note(first)}"
            widgets.show_verdict(verdict.capitalize(), note, agreed=verdict != UNSURE)
        with st.expander("Scores, and what the other models answer", icon=":material/compare:"):
            for name, outcome in [(model, first), *others]:
                _show(name, outcome)
    return True


def _show(model: str, outcome: Outcome) -> None:
    if isinstance(outcome, Answer):
        widgets.show_bars(model, widgets.note(outcome), outcome.rankings[0])
    else:
        widgets.show_error(outcome, model)


def _who_is_it(picture: Picture, boxes: Sequence[Box], models: Sequence[str]) -> None:
    with st.container(key="who-is-it"):
        st.subheader("Who is it?")
        if not boxes:
            st.info("No face was found in this picture.", icon=":material/face_retouching_off:")
            if not st.toggle("Use the whole picture as the face", key="whole"):
                return
            boxes = [face_boxes.whole(picture)]
        model = models[0]
        if len(models) > 1:
            model = st.selectbox("Model", models, key="character-model")
        faces = [face_boxes.cut(picture, box) for box in boxes]
        outcome = model_client.classify(model, [encode_png(face) for face in faces])
        if not isinstance(outcome, Answer):
            widgets.show_error(outcome, model)
            return
        st.caption(f"{widgets.escaped(model)}, {widgets.note(outcome)}")
        for number, (face, ranking) in enumerate(zip(faces, outcome.rankings, strict=True), 1):
            with st.container(key=f"face-{number}", border=True, horizontal=True, gap="medium"):
                height, width = face.shape[:2]
                shown = max(1, round(96 * min(1, width / height)))
                st.image(face, width=shown, alt=f"Face {number}")
                with st.container():
                    _name(number, face, ranking)


def _name(number: int, face: np.ndarray, ranking: list[tuple[str, float]]) -> None:
    name, score = ranking[0]
    # Of a face of nobody known, who is nearest: as many names as of others.
    shown = ranking[: TOP + (name == UNKNOWN)]
    widgets.show_bars(f"Face {number}: {name}", widgets.in_words(score), shown)
    if name == UNKNOWN:
        teaching.offer(number, face)


def _drawings(picture: Picture) -> None:
    """The cartoon and the sketch, one click away."""
    tasks: tuple[Task, ...] = ("cartoonize", "sketch")
    models = [(model, task) for task in tasks for model in model_client.models_of(task)]
    if not models:
        return
    with st.container(horizontal=True, key="drawings"):
        wanted = [
            model
            for model, task in models
            if st.toggle("As a cartoon" if task == "cartoonize" else "As a sketch", key=model)
        ]
    for model in wanted:
        before_after.show(model, picture)
