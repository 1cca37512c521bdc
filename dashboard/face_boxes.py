"""Faces in a picture: found once, drawn in as numbered boxes, and cut out."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw, ImageFont

from celflow.faces import Box, crop_box
from celflow.images import shrink
from celflow.params import FacecropConfig
from dashboard import model_client
from dashboard.picture_input import Picture
from dashboard.widgets import escaped
from serving.client.faces import find_faces

ACCENT = (11, 100, 99)  # theme.light.primaryColor

HASHES: dict[str | type[Any], Callable[[Any], Any]] = {FacecropConfig: repr}

_one_at_a_time = Lock()  # animeface must not be used by two visitors at once


def show(picture: Picture, boxes: Sequence[Box] = ()) -> None:
    """Show the picture with boxes numbered from 1, and a line about the file."""
    if list(boxes) == [whole(picture)]:
        boxes = []  # a frame around everything says nothing
    height, width = picture.pixels.shape[:2]
    # at most 440 px high on the page, and at most three times its size
    shown = max(1, round(width * min(440 / height, 480 / width, 3)))
    with st.container(key="picture", gap="xsmall"):
        alt = f"{picture.name}, with {len(boxes)} faces marked" if boxes else picture.name
        st.image(_marked(picture.pixels, boxes, shown), width=shown, alt=alt)
        st.caption(f"{escaped(picture.name)} · {width} × {height} · {picture.format}")


def faces_of(picture: Picture, config: FacecropConfig) -> list[Box]:
    """The crop of each face in the picture, with its margin, the largest face first.

    Where the data are faces already (`facecrop.detector: none`), that is the whole picture.

    Raises:
        UserError: `facecrop.cascade` in params.yaml names no cascade.
        ServerError: the served face detector does not answer.
    """
    if config.detector == "none":
        return [whole(picture)]
    if config.detector == "classic":
        found = _classic(picture.data, config)
    else:
        found = find_faces(model_client.client(), picture.data, config)
    height, width = picture.pixels.shape[:2]
    return [crop_box(face, width, height) for face in found]


def whole(picture: Picture) -> Box:
    """All of the picture."""
    height, width = picture.pixels.shape[:2]
    return Box(0, 0, width, height)


def cut(picture: Picture, box: Box) -> np.ndarray:
    """uint8 [h, w, 3]: the part of the picture in the box."""
    return picture.pixels[box.y : box.y + box.h, box.x : box.x + box.w]


@st.cache_data(max_entries=64, show_spinner="Looking for faces …", hash_funcs=HASHES)
def _classic(data: bytes, config: FacecropConfig) -> list[Box]:
    with _one_at_a_time:
        return find_faces(model_client.client(), data, config)


def _marked(pixels: np.ndarray, boxes: Sequence[Box], shown: int) -> np.ndarray:
    """uint8: the picture with numbered boxes; lines are equally thick whatever its size.

    shown: its width on the page in px; twice as many pixels are kept at most, for fine screens.
    """
    height, width = pixels.shape[:2]
    side = max(1, round(2 * shown * max(1, height / width)))
    small = shrink(pixels, side)
    if not boxes:
        return small
    if width < shown:  # too few pixels for lines and numbers
        small = np.asarray(
            Image.fromarray(small).resize((shown, max(1, round(shown * height / width))))
        )
    scale = small.shape[1] / width
    unit = small.shape[1] / shown  # a pixel on the page
    canvas = Image.fromarray(small)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=round(15 * unit))
    for number, box in enumerate(boxes, start=1):
        left, top = box.x * scale, box.y * scale
        right, bottom = left + max(box.w * scale - 1, 0), top + max(box.h * scale - 1, 0)
        draw.rectangle((left, top, right, bottom), outline=ACCENT, width=max(2, round(3 * unit)))
        plate = (left, top, left + 22 * unit, top + 22 * unit)
        draw.rectangle(plate, fill=ACCENT)
        draw.text((left + 11 * unit, top + 11 * unit), str(number), "white", font, anchor="mm")
    return np.asarray(canvas)
