"""Page: one picture, and what every model says about it."""

from collections.abc import Sequence

import streamlit as st

from celflow import params
from celflow.faces import Box
from celflow.images import encode_png
from dashboard import answers, pictures, server
from dashboard.pictures import Picture
from dashboard.server import Answer
from serving.client import ServerDown

BEST = 3  # names a face
UNSURE = "unsure"  # a verdict


def page() -> None:
    """Is it a cartoon or a photograph, and who is in it?"""
    settings = params.load()
    st.title("Try it")
    picture = pictures.choose(settings.data)
    if picture is None:
        return
    left, right = st.columns(pictures.COLUMNS, gap="medium")
    characters = server.models_of("characters")
    boxes = pictures.faces_of(picture, settings.facecrop) if characters else []
    with left:
        pictures.show(picture, boxes)
    with right:
        up = _cartoon_or_photo(picture)
        if up and characters:
            _who_is_it(picture, boxes, characters)


def _cartoon_or_photo(picture: Picture) -> bool:
    """Show what the models of this task say. False, having said so, where the server is down."""
    outcomes = server.ask_all(server.models_of("cartoon_or_photo"), [picture.data])
    if not outcomes:
        return True
    with st.container(key="cartoon-or-photo"):
        st.subheader("Cartoon or photo?")
        for model, outcome in outcomes.items():
            if isinstance(outcome, ServerDown):
                answers.show_error(outcome, model)
                return False
        _verdict([outcome for outcome in outcomes.values() if isinstance(outcome, Answer)])
        for model, outcome in outcomes.items():
            if isinstance(outcome, Answer):
                answers.show_bars(model, answers.note(outcome), outcome.rankings[0])
            else:
                answers.show_error(outcome, model)
    return True


def _verdict(found: Sequence[Answer]) -> None:
    if not found:
        return
    votes = {answer.model: answer.verdicts[0] for answer in found}
    names = {*votes.values()}
    if len(names) > 1:
        told = ", ".join(f"{model} says {name}" for model, name in votes.items())
        word = "The models disagree" if len(names - {UNSURE}) > 1 else (names - {UNSURE}).pop()
        answers.show_verdict(word.capitalize(), told, agreed=False)
        return
    count = {1: f"{found[0].model} says so", 2: "both models agree"}
    told = count.get(len(votes), f"all {len(votes)} models agree")
    answers.show_verdict(names.pop().capitalize(), told, agreed=UNSURE not in votes.values())


def _who_is_it(picture: Picture, boxes: Sequence[Box], models: Sequence[str]) -> None:
    with st.container(key="who-is-it"):
        st.subheader("Who is it?")
        if not boxes:
            st.info("No face was found in this picture.", icon=":material/face_retouching_off:")
            if not st.toggle("Take the whole picture as the face", key="whole"):
                return
            boxes = [pictures.whole(picture)]
        model = models[0]
        if len(models) > 1:
            model = st.selectbox("Model", models, key="character-model")
        faces = [pictures.cut(picture, box) for box in boxes]
        outcome = server.ask(model, [encode_png(face) for face in faces])
        if not isinstance(outcome, Answer):
            answers.show_error(outcome, model)
            return
        st.caption(f"{answers.plain(model)}, {answers.note(outcome)}")
        for number, (face, ranking) in enumerate(zip(faces, outcome.rankings, strict=True), 1):
            with st.container(key=f"face-{number}", border=True, horizontal=True, gap="medium"):
                height, width = face.shape[:2]
                st.image(face, width=max(1, round(96 * min(1, width / height))))
                with st.container():
                    answers.show_bars(f"Face {number}: {ranking[0][0]}", "", ranking[:BEST])
