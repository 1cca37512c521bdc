"""The pictures that a visitor asks about: uploaded, taken or samples, and decoded once."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from celflow.images import NAMES, BadImage
from celflow.params import DataConfig
from dashboard import sample_gallery
from dashboard.widgets import COLUMNS, escaped
from serving.client.pictures import open_picture

WAYS = ("Pictures", "A folder", "Camera")


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    format: the file's real format, such as JPEG.
    pixels: uint8 [H, W, 3], sRGB, upright, read-only.
    data: the file's bytes, in a format that the model server takes.
    file: the file's bytes as they are.
    """

    name: str
    format: str
    pixels: np.ndarray
    data: bytes
    file: bytes


def answers_first(data: DataConfig) -> DeltaGenerator | None:
    """Let the visitor choose pictures, and return the place for the answers, above the field.

    So the first screen of a phone has picture and answer. Returns None where nothing is chosen yet;
    the page then says so. The choice holds for all pages.
    """
    if "picture" not in st.session_state:
        controls(data)
        st.info("Upload a picture, or pick one of the samples.", icon=":material/image_search:")
        return None
    answers = st.container()
    with st.expander("Other pictures", icon=":material/add_photo_alternate:", expanded=True):
        controls(data)
    return answers


def controls(data: DataConfig) -> None:
    """The ways to a picture."""
    upload, gallery = st.columns(COLUMNS, gap="medium")
    with upload, st.container(key="upload"):
        way = st.segmented_control("From", WAYS, default=WAYS[0], key="way", required=True)
        # A new key empties the field when a sample is picked instead.
        key = f"file-{st.session_state.setdefault('uploads', 0)}-{way}"
        if way == "Camera":
            st.camera_input("Take a picture", key=key, on_change=_upload, args=(key,))
        else:
            st.file_uploader(
                f"Upload {NAMES}",
                accept_multiple_files="directory" if way == "A folder" else True,
                key=key, on_change=_upload, args=(key,),
            )  # fmt: skip
    with gallery, st.container(key="gallery"):
        sample_gallery.show(data)


def current() -> Picture | None:
    """The chosen picture; where it can't be used, the page says so."""
    name, content = st.session_state["picture"]
    found = opened(name, content)
    if isinstance(found, Picture):
        return found
    st.error(
        f"**{escaped(name)} is no usable picture:** {escaped(found)}. Choose another file.",
        icon=":material/broken_image:",
    )
    return None


def all_chosen() -> list[tuple[str, bytes]]:
    """Name and bytes of every picture that was uploaded together, or of the one that is chosen."""
    if "picture" not in st.session_state:
        return []
    several: list[tuple[str, bytes]] = st.session_state.get("pictures", [])
    return several or [st.session_state["picture"]]


def look_at(number: int) -> None:
    """Choose one of those that were uploaded together; runs before the page does."""
    st.session_state["picture"] = st.session_state["pictures"][number]


# cache_data would copy the pixels each time
@st.cache_resource(max_entries=64, show_spinner=False)
def opened(name: str, content: bytes) -> Picture | str:
    """A file's picture, or why it is none."""
    try:
        picture = open_picture(content)
    except BadImage as error:
        return str(error)
    return Picture(name, picture.format, picture.pixels, picture.data, content)


def _upload(key: str) -> None:
    """Runs before the page does: files were uploaded, or removed."""
    state = st.session_state
    state.pop("sample", None)
    files = state[key] if isinstance(state[key], list) else [state[key]] if state[key] else []
    if not files:
        state.pop("picture", None)
        state.pop("pictures", None)
        return
    state["pictures"] = [(file.name, file.getvalue()) for file in files]
    state["picture"] = state["pictures"][0]
