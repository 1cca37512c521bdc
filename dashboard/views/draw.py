"""Page: a photo as a drawing, a drawing as a sketch, and the cartoonizer's representations."""

from collections.abc import Sequence
from html import escape

import numpy as np
import streamlit as st

from celflow import params
from celflow.images import encode_png, open_image, shrink
from dashboard import (
    before_after,
    face_boxes,
    model_client,
    picture_input,
    representations,
    widgets,
)
from dashboard.picture_input import Picture
from serving.client import STYLES, ServerError

SLIDERS = {
    "strength": "From the photo, 0, to the drawing, 1.",
    "abstraction": "With more, regions are larger and fewer, and so are colours.",
}
REPRESENTATIONS = ("Surface", "Structure", "Texture")


def page() -> None:
    """What the image models draw from a picture."""
    config = params.load()
    st.title("Draw")
    answers = picture_input.answers_first(config.data)
    if answers is None:
        return
    with answers:
        picture = picture_input.current()
        if picture is not None:
            _answer(picture)


def _answer(picture: Picture) -> None:
    small = shrink(picture.pixels, before_after.PREVIEW)
    left, right = st.columns(widgets.COLUMNS, gap="medium")
    with left:
        face_boxes.show(picture)
        styles = {
            name: st.slider(name.capitalize(), 0.0, 1.0, STYLES[name], help=text)
            for name, text in SLIDERS.items()
        }
    with right:
        drawn = _show("cartoonize", small, picture, styles)
        _show("sketch", small, picture, {})
    if drawn is not None:
        _show_white_box(drawn)


def _show(
    task: params.Task, pixels: np.ndarray, picture: Picture, styles: dict[str, float]
) -> np.ndarray | None:
    """Show what the task's models draw; returns the first drawing, uint8 [H, W, 3]."""
    first = None
    for model in model_client.models_of(task):
        with st.container(key=f"drawn-{model}"):
            try:
                data, note = model_client.draw(model, encode_png(pixels), styles)
            except ServerError as error:
                widgets.show_error(error, model)
                continue
            st.html(f'<div class="who"><b>{escape(model)}</b><span>{note}</span></div>')
            st.image(data, alt=f"{picture.name}, as {model} draws it")
            before_after.download(model, picture, data, styles)
            if first is None:
                first = open_image(data).pixels
    return first


def _show_white_box(drawn: np.ndarray) -> None:
    with st.container(key="white-box"):
        st.subheader("The white box")
        st.caption(
            "The drawing's surface, structure and texture: each has its own loss in the training."
        )
        for column, name, image in zip(
            st.columns(3, gap="medium"), REPRESENTATIONS, _representations(drawn), strict=True
        ):
            with column:
                st.image(image, caption=name, alt=f"{name} of the drawing")


@st.cache_data(max_entries=8, show_spinner="Computing the representations …")
def _representations(drawn: np.ndarray) -> Sequence[np.ndarray]:
    return (
        representations.surface(drawn),
        representations.structure(drawn),
        representations.texture(drawn),
    )
