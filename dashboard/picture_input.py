"""The picture that a visitor asks about: uploaded or a sample, and decoded once."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from celflow.images import SUFFIXES, BadImage, open_image, upright_bytes
from celflow.params import DataConfig
from dashboard import sample_gallery
from dashboard.widgets import COLUMNS, escaped


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    format: the file's real format, such as JPEG.
    pixels: uint8 [H, W, 3], RGB, upright, read-only.
    data: the file's bytes, in a format that the model server takes.
    """

    name: str
    format: str
    pixels: np.ndarray
    data: bytes


def choose(data: DataConfig) -> Picture | None:
    """Let the visitor upload a picture or pick a sample; the choice holds for all pages.

    Returns None where nothing is chosen or the file is no picture; the page then says so.
    """
    upload, gallery = st.columns(COLUMNS, gap="medium")
    with upload, st.container(key="upload"):
        # A new key empties the upload field when a sample is picked instead.
        key = f"file-{st.session_state.setdefault('uploads', 0)}"
        st.file_uploader("Upload a picture", SUFFIXES, key=key, on_change=_upload, args=(key,))
    with gallery, st.container(key="gallery"):
        sample_gallery.show(data)

    if "picture" not in st.session_state:
        st.info("Upload a picture, or pick one of the samples.", icon=":material/image_search:")
        return None
    name, content = st.session_state["picture"]
    try:
        return _open(name, content)
    except BadImage as error:
        st.error(
            f"**{escaped(name)} is no usable picture:** {escaped(str(error))}. "
            "Choose another file.",
            icon=":material/broken_image:",
        )
        return None


# cache_data would copy the pixels each time
@st.cache_resource(max_entries=8, show_spinner=False)
def _open(name: str, content: bytes) -> Picture:
    opened = open_image(content)
    return Picture(name, opened.format, opened.pixels, upright_bytes(content))


def _upload(key: str) -> None:
    """Runs before the page does: a file was uploaded, or removed."""
    state = st.session_state
    state.pop("sample", None)
    if state[key] is None:
        state.pop("picture", None)
    else:
        state["picture"] = (state[key].name, state[key].getvalue())
