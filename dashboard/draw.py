"""Page: a photo as a drawing, a drawing as a sketch, and what the cartoonizer looks at."""

from collections.abc import Sequence
from html import escape

import numpy as np
import streamlit as st

from celflow import params, representations, superpixels
from celflow.images import encode_png, open_image, shrink
from dashboard import answers, pictures, server
from dashboard.pictures import Picture
from serving.client import STYLES, ServerError

SIDE = 768  # px; larger pictures are shrunk to this, so that the page stays quick
WHITE_BOX = ("Surface", "Structure", "Texture")


def page() -> None:
    """What the picture models make of a picture."""
    settings = params.load()
    st.title("Draw")
    picture = pictures.choose(settings.data)
    if picture is None:
        return
    small = shrink(picture.pixels, SIDE)
    left, right = st.columns(pictures.COLUMNS, gap="medium")
    with left:
        pictures.show(picture)
        styles = {
            "sharpness": st.slider(
                "Sharpness",
                0.0,
                1.0,
                STYLES["sharpness"],
                help="How closely lines follow the photo's edges.",
            ),
            "abstraction": st.slider(
                "Abstraction",
                0.0,
                1.0,
                STYLES["abstraction"],
                help="How much detail goes before it is drawn.",
            ),
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
    for model in server.models_of(task):
        with st.container(key=f"drawn-{model}"):
            try:
                data, note = server.draw(model, encode_png(pixels), styles)
            except ServerError as error:
                answers.show_error(error, model)
                continue
            st.html(f'<div class="who"><b>{escape(model)}</b><span>{note}</span></div>')
            st.image(data)
            name = f"{picture.name.rsplit('.', 1)[0]}-{model}.png"
            st.download_button("Save as PNG", data, name, "image/png", key=f"save-{model}")
            if first is None:
                first = open_image(data).pixels
    return first


def _show_white_box(drawn: np.ndarray) -> None:
    with st.container(key="white-box"):
        st.subheader("The white box")
        st.caption("The three things by which the cartoonizer was taught, in its drawing.")
        for column, name, part in zip(
            st.columns(3, gap="medium"), WHITE_BOX, _parts(drawn), strict=True
        ):
            with column:
                st.image(part, caption=name)


@st.cache_data(max_entries=8, show_spinner="Looking into the white box …")
def _parts(drawn: np.ndarray) -> Sequence[np.ndarray]:
    return (
        representations.surface(drawn),
        superpixels.structure(drawn, "slic"),
        representations.texture(drawn),
    )
