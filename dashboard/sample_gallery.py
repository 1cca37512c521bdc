"""Thumbnails of a few pictures of the data, to pick one instead of an upload."""

from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from celflow.images import SUFFIXES, BadImage, read_image
from celflow.params import DATASETS, DataConfig
from dashboard.widgets import escaped

SAMPLES = 4  # pictures of each class
THUMBNAIL = 64  # px on the page


def show(data: DataConfig) -> None:
    """Show the thumbnails; a click puts the picture into `st.session_state`."""
    samples = [sample for sample in map(_thumbnail, *_files(data)) if sample is not None]
    if not samples:
        folders = " and ".join(escaped(str(folder)) for folder in _folders(data))
        st.caption(
            f"No samples: there are no pictures in {folders} yet (`dvc repro` makes the built-in "
            "ones)."
        )
        return
    st.html('<p class="label">Or pick a sample</p>')
    chosen = st.session_state.get("sample")
    with st.container(horizontal=True, gap="xsmall", key="samples"):
        for number, (path, pixels) in enumerate(samples):
            with st.container(key=f"sample-{number}", width=THUMBNAIL):
                st.image(pixels, width=THUMBNAIL, alt="")  # the button says it
                st.button(
                    f"{path.parent.name}: {path.name}",
                    key=f"pick-{number}",
                    type="primary" if path == chosen else "secondary",
                    on_click=_pick,
                    args=(path,),
                )


def _folders(data: DataConfig) -> list[Path]:
    return [folder for dataset in DATASETS if (folder := data.folder(dataset)) is not None]


def _files(data: DataConfig) -> tuple[list[Path], list[float]]:
    """The gallery's files and the times of their last change."""
    folders = data.folder("cartoon_or_photo"), data.folder("characters")
    paths = [path for path in _choose(*folders) if path.is_file()]
    return paths, [path.stat().st_mtime for path in paths]


@st.cache_data(ttl=60, show_spinner=False)  # the folders may be large
def _choose(kinds: Path | None, characters: Path | None) -> list[Path]:
    """A few files of each class, spread evenly over the sorted names; characters are one class."""
    folders = (
        [] if kinds is None else [inner for inner in sorted(kinds.glob("*")) if inner.is_dir()]
    )
    folders += [] if characters is None else [characters]
    chosen = []
    for folder in folders:
        files = [
            path
            for path in sorted(folder.rglob("*"))
            if path.suffix[1:].lower() in SUFFIXES and path.is_file()
        ]
        step = max(1, len(files) // SAMPLES)
        chosen += files[step // 2 :: step][:SAMPLES]
    return chosen


@st.cache_data(max_entries=64, show_spinner=False)
def _thumbnail(path: Path, changed: float) -> tuple[Path, np.ndarray] | None:
    """The upper square of a picture, where heads are; None where the file is no picture.

    uint8 [2 T, 2 T, 3] with T = `THUMBNAIL`: screens may have two pixels for each of the page's.
    """
    try:
        pixels = read_image(path).pixels
    except (BadImage, OSError):
        return None
    height, width = pixels.shape[:2]
    side = min(height, width)
    left = (width - side) // 2
    square = Image.fromarray(pixels[:side, left : left + side])
    return path, np.asarray(square.resize((2 * THUMBNAIL, 2 * THUMBNAIL)))


def _pick(path: Path) -> None:
    """Runs before the page does: a sample was picked."""
    state = st.session_state
    state["uploads"] += 1
    state.pop("pictures", None)
    try:
        state["picture"] = (path.name, path.read_bytes())
        state["sample"] = path
    except OSError:  # gone since the page was drawn
        state.pop("picture", None)
