"""The picture in question: uploaded or from the gallery, decoded once, its faces found once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw, ImageFont

from celflow.faces import Box, crop_box, detect
from celflow.images import BadImage, open_image, read_image, shrink, upright_bytes
from celflow.params import DataConfig, FacecropConfig
from dashboard.answers import plain

SUFFIXES = ("jpg", "jpeg", "png", "bmp", "gif", "webp")
COLUMNS = (5, 7)  # of every page: the picture on the left, answers on the right
GALLERY = 4  # pictures of each kind
THUMBNAIL = 64  # px on the page
ACCENT = (14, 124, 123)  # theme.primaryColor

_one_at_a_time = Lock()  # two visitors must not use a face detector at once


@dataclass(frozen=True)
class Picture:
    """A picture that came through the door.

    pixels: uint8 [H, W, 3], RGB, upright, read-only.
    data: the file's bytes as the model server takes them.
    """

    name: str
    format: str
    pixels: np.ndarray
    data: bytes


def choose(data: DataConfig) -> Picture | None:
    """Let the visitor upload a picture or pick a sample; all pages share what was chosen.

    Returns None, having said why on the page, where nothing is chosen or the file is no picture.
    """
    upload, gallery = st.columns(COLUMNS, gap="medium")
    with upload, st.container(key="upload"):
        # A new key empties the box when a sample is picked instead.
        key = f"file-{st.session_state.setdefault('uploads', 0)}"
        st.file_uploader("Upload a picture", SUFFIXES, key=key, on_change=_upload, args=(key,))
    with gallery, st.container(key="gallery"):
        _show_gallery(data)

    if "picture" not in st.session_state:
        st.info("Upload a picture, or pick one of the samples.", icon=":material/image_search:")
        return None
    name, content = st.session_state["picture"]
    try:
        return _open(name, content)
    except BadImage as error:
        st.error(
            f"**{plain(name)} is no usable picture:** {plain(str(error))}. Choose another file.",
            icon=":material/broken_image:",
        )
        return None


def show(picture: Picture, boxes: Sequence[Box] = ()) -> None:
    """The picture, with every box drawn in and numbered from 1, and a line about the file."""
    if list(boxes) == [whole(picture)]:
        boxes = []  # a frame around everything tells nobody anything
    height, width = picture.pixels.shape[:2]
    # at most 440 px high on the page, and at most three times its size
    shown = max(1, round(width * min(440 / height, 480 / width, 3)))
    with st.container(key="picture", gap="xsmall"):
        st.image(_marked(picture.pixels, boxes, shown), width=shown)
        st.caption(f"{plain(picture.name)} · {width} × {height} · {picture.format}")


def faces_of(picture: Picture, settings: FacecropConfig) -> list[Box]:
    """The parts of the picture that are cut out for its faces, the largest face first.

    Where the data are faces already (`facecrop.detector: none`), that is the whole picture.

    Raises:
        UserError: `facecrop.cascade` in params.yaml names no cascade.
    """
    if settings.detector == "none":
        return [whole(picture)]
    return _faces(
        picture.data,
        picture.pixels,
        Path(settings.cascade) if settings.cascade else None,
        settings.detect_side,
        settings.min_face,
    )


def whole(picture: Picture) -> Box:
    """All of the picture."""
    height, width = picture.pixels.shape[:2]
    return Box(0, 0, width, height)


def cut(picture: Picture, box: Box) -> np.ndarray:
    """uint8 [h, w, 3]: the part of the picture in the box."""
    return picture.pixels[box.y : box.y + box.h, box.x : box.x + box.w]


# cache_data would copy the pixels at each look
@st.cache_resource(max_entries=8, show_spinner=False)
def _open(name: str, content: bytes) -> Picture:
    opened = open_image(content)
    return Picture(name, opened.format, opened.pixels, upright_bytes(content))


@st.cache_data(max_entries=64, show_spinner="Looking for faces …")
def _faces(
    data: bytes, _pixels: np.ndarray, cascade: Path | None, detect_side: int, min_face: int
) -> list[Box]:
    height, width = _pixels.shape[:2]
    with _one_at_a_time:
        found = detect(_pixels, cascade, detect_side, min_face)
    return [crop_box(face, width, height) for face in found]


def _marked(pixels: np.ndarray, boxes: Sequence[Box], shown: int) -> np.ndarray:
    """The picture, twice the `shown` width at most, with numbered boxes of even strength."""
    height, width = pixels.shape[:2]
    side = round(2 * shown * max(1, height / width))
    small = shrink(pixels, side)
    if not boxes:
        return small
    if width < shown:  # lines and numbers need some pixels to be drawn with
        small = np.asarray(Image.fromarray(small).resize((shown, round(shown * height / width))))
    scale = small.shape[1] / width
    unit = small.shape[1] / shown  # a pixel on the page
    canvas = Image.fromarray(small)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=round(15 * unit))
    for number, box in enumerate(boxes, start=1):
        left, top = box.x * scale, box.y * scale
        right, bottom = left + box.w * scale - 1, top + box.h * scale - 1
        draw.rectangle((left, top, right, bottom), outline=ACCENT, width=max(2, round(3 * unit)))
        plate = (left, top, left + 22 * unit, top + 22 * unit)
        draw.rectangle(plate, fill=ACCENT)
        draw.text((left + 11 * unit, top + 11 * unit), str(number), "white", font, anchor="mm")
    return np.asarray(canvas)


def _show_gallery(data: DataConfig) -> None:
    samples = [sample for sample in map(_thumbnail, *_stamped(data)) if sample is not None]
    if not samples:
        st.caption(
            "No samples: there are no pictures in "
            f"{plain(data.cartoon_or_photo)} and {plain(data.characters)} yet (`dvc repro` "
            "makes the built-in ones)."
        )
        return
    st.html('<p class="label">Or pick a sample</p>')
    chosen = st.session_state.get("sample")
    with st.container(horizontal=True, gap="xsmall", key="samples"):
        for number, (path, pixels) in enumerate(samples):
            with st.container(key=f"sample-{number}", width=THUMBNAIL):
                st.image(pixels, width=THUMBNAIL)
                st.button(
                    f"{path.parent.name}: {path.name}",
                    key=f"pick-{number}",
                    type="primary" if path == chosen else "secondary",
                    on_click=_pick,
                    args=(path,),
                )


def _stamped(data: DataConfig) -> tuple[list[Path], list[float]]:
    """The gallery's files and when they were changed."""
    paths = [path for path in _gallery(data.cartoon_or_photo, data.characters) if path.is_file()]
    return paths, [path.stat().st_mtime for path in paths]


@st.cache_data(ttl=60, show_spinner=False)  # the folders may be large
def _gallery(cartoon_or_photo: str, characters: str) -> list[Path]:
    """A few files of each kind, spread evenly over the sorted names."""
    folders = [folder for folder in sorted(Path(cartoon_or_photo).glob("*")) if folder.is_dir()]
    folders.append(Path(characters))
    gallery = []
    for folder in folders:
        files = [
            path
            for path in sorted(folder.rglob("*"))
            if path.suffix[1:].lower() in SUFFIXES and path.is_file()
        ]
        step = max(1, len(files) // GALLERY)
        gallery += files[step // 2 :: step][:GALLERY]
    return gallery


@st.cache_data(max_entries=64, show_spinner=False)
def _thumbnail(path: Path, changed: float) -> tuple[Path, np.ndarray] | None:
    """uint8 [2 T, 2 T, 3] for the sharpest screens: the upper square, where heads are."""
    try:
        pixels = read_image(path).pixels
    except (BadImage, OSError):
        return None
    height, width = pixels.shape[:2]
    side = min(height, width)
    left = (width - side) // 2
    square = Image.fromarray(pixels[:side, left : left + side])
    return path, np.asarray(square.resize((2 * THUMBNAIL, 2 * THUMBNAIL)))


def _upload(key: str) -> None:
    """Before the page runs again: a file was put into the box, or taken out."""
    state = st.session_state
    state.pop("sample", None)
    if state[key] is None:
        state.pop("picture", None)
    else:
        state["picture"] = (state[key].name, state[key].getvalue())


def _pick(path: Path) -> None:
    """Before the page runs again: a sample was picked."""
    state = st.session_state
    state["uploads"] += 1
    try:
        state["picture"] = (path.name, path.read_bytes())
        state["sample"] = path
    except OSError:  # gone since the page was drawn
        state.pop("picture", None)
