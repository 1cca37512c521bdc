"""Page: one picture, and what every classifier answers."""

from collections.abc import Sequence

import streamlit as st

from celflow import params
from celflow.faces import Box
from celflow.images import encode_png
from celflow.params import FacecropConfig
from dashboard import face_boxes, model_client, picture_input, widgets
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
    picture = picture_input.choose(config.data)
    if picture is None:
        return
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
        st.subheader("Cartoon or photo?")
        for model, outcome in outcomes.items():
            if isinstance(outcome, ServerDown):
                widgets.show_error(outcome, model)
                return False
        first, *others = outcomes.items()
        _show(*first, as_verdict=True)
        if others:
            with st.expander("What the other models answer", icon=":material/compare:"):
                for model, outcome in others:
                    _show(model, outcome)
    return True


def _show(model: str, outcome: Outcome, as_verdict: bool = False) -> None:
    if not isinstance(outcome, Answer):
        widgets.show_error(outcome, model)
        return
    if as_verdict:
        verdict = outcome.verdicts[0]
        widgets.show_verdict(verdict.capitalize(), f"{model} says so", agreed=verdict != UNSURE)
    widgets.show_bars(model, widgets.note(outcome), outcome.rankings[0])


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
                st.image(face, width=max(1, round(96 * min(1, width / height))))
                with st.container():
                    name = ranking[0][0]
                    # Of a face of nobody known, who is nearest: as many names as of others.
                    shown = ranking[: TOP + (name == UNKNOWN)]
                    widgets.show_bars(f"Face {number}: {name}", "", shown)


if __name__ == "__main__":  # Streamlit runs this file where its address is the first to be opened
    from dashboard.app import main

    main()
