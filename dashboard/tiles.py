"""Pictures side by side, each a button."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from celflow.images import BadImage
from celflow.names import as_text
from serving.client.pictures import open_picture

SIDE = 96  # px on the page
PAGE = 48  # tiles shown at once


def show(
    files: Sequence[tuple[str, bytes | Path]],
    what: Callable[[int], str],
    on_click: Callable[[int], None] | None = None,
    key: str = "tiles",
) -> None:
    """Show files as thumbnails, a page of them at a time.

    files: names, and contents or where they are.
    what: the words of the button of the file with this number, for screen readers and pointers.
    on_click: gets the number of the one that is clicked; None: they can't be clicked.
    """
    pages = max(1, -(-len(files) // PAGE))
    at = 0
    if pages > 1:
        at = st.number_input(f"Page, of {pages}", 1, pages, 1, key=f"{key}-page") - 1
    with st.container(horizontal=True, gap="xsmall", key=key):
        for number, (name, content) in list(enumerate(files))[at * PAGE : (at + 1) * PAGE]:
            with st.container(key=f"sample-{key}-{number}", width="content"):
                picture = _thumbnail(*_bytes(content))
                if isinstance(picture, str):
                    _show_words(as_text(name), picture)
                else:
                    st.image(picture, width=SIDE, alt=as_text(name) if on_click is None else "")
                if on_click is not None:
                    st.button(
                        f"{as_text(name)}: {what(number)}", key=f"pick-{key}-{number}",
                        help=what(number), on_click=on_click, args=(number,),
                    )  # fmt: skip


def _show_words(name: str, why: str) -> None:
    """A tile for a file that is no picture: what it is called, and why it shows none."""
    st.html(
        f'<div class="no-picture" title="{escape(name)}: {escape(why)}">'
        f"<b>{escape(name.rsplit('/', 1)[-1])}</b><span>{escape(why)}</span></div>"
    )


def _bytes(content: bytes | Path) -> tuple[bytes | Path, float]:
    if isinstance(content, bytes):
        return content, 0.0
    try:
        return content, content.stat().st_mtime
    except OSError:
        return content, 0.0


@st.cache_data(max_entries=2000, show_spinner=False)
def _thumbnail(content: bytes | Path, changed: float) -> np.ndarray | str:
    """uint8 [2 S, 2 S, 3] with S = `SIDE`: the upper square; in words, why there is none."""
    try:
        pixels = open_picture(
            content if isinstance(content, bytes) else content.read_bytes()
        ).pixels
    except BadImage as error:
        return str(error)
    except OSError as error:
        return "the file is gone" if isinstance(error, FileNotFoundError) else str(error.strerror)
    height, width = pixels.shape[:2]
    side = min(height, width)
    left = (width - side) // 2
    square = Image.fromarray(pixels[:side, left : left + side])
    return np.asarray(square.resize((2 * SIDE, 2 * SIDE)))
