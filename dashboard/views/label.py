"""Page: unlabelled faces get names, the most useful first, a key each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from celflow import params
from celflow.errors import UserError
from celflow.faces import crop
from celflow.images import BadImage, encode_png, open_image
from celflow.names import as_text
from celflow.params import Params
from dashboard import command, labels, model_client, widgets
from dashboard.label_order import LabelOrder
from serving.client import BadInput, Client, ServerError
from serving.client.faces import find_faces
from serving.client.in_flight import map_in_flight
from serving.client.pictures import sendable
from sorting.walk import files_in

UNKNOWN = "unknown"
NAMES = 4  # suggested
FACES = 2000  # at most, of one folder
_STATE = "labelling"


@dataclass(frozen=True)
class Face:
    """A face to be named. png: its crop. ranking: names and scores, the best first."""

    source: str
    png: bytes
    ranking: list[tuple[str, float]]


@dataclass
class Labelling:
    """A folder under way. history: faces done, each with the file that was written, if any."""

    faces: list[Face]
    encodings: np.ndarray
    history: list[tuple[int, Path | None]]
    names: list[str]


def page() -> None:
    """One face at a time; a key accepts, names, skips or takes back."""
    config = params.load()
    st.title("Label")
    st.write("Faces without a name, the most useful first. The labels are there for retraining.")
    if command.read_only():
        st.info("This page is read-only: nothing can be labelled here.", icon=":material/lock:")
        return
    folder = st.text_input(
        "Folder of pictures, on this machine", key="label-folder", placeholder="~/Pictures/new"
    )
    if st.button("Find the faces", type="primary", key="label-find"):
        st.session_state[_STATE] = _find(config, folder)
    state = st.session_state.get(_STATE)
    if state is not None:
        _one(config, state)


def _find(config: Params, folder: str) -> Labelling | None:
    root = Path(folder).expanduser()
    if not folder or not root.is_dir():
        raise UserError(f"no folder {folder} on this machine")
    models = model_client.models_of("characters")
    if not models:
        raise UserError("params.yaml has no model of the task characters")
    client, model = model_client.client(), models[0]
    faces: list[Face] = []
    encodings: list[np.ndarray] = []
    files = list(files_in(root))
    bar = st.progress(0.0, "Looking for faces …")
    try:
        found = map_in_flight(lambda file: _faces(client, model, file, config), files, 8)
        for number, (new, vectors) in enumerate(found, 1):
            faces += new
            encodings += vectors
            bar.progress(number / len(files), f"{number} of {len(files)} files")
            if len(faces) > FACES:
                break
    except ServerError as error:
        widgets.show_error(error, model)
        return None
    finally:
        bar.empty()
    if not faces:
        st.info("No face was found there.", icon=":material/face_retouching_off:")
        return None
    names = sorted({name for face in faces for name, _ in face.ranking} - {UNKNOWN})
    return Labelling(faces, np.stack(encodings), [], names)


def _faces(
    client: Client, model: str, file: Path, config: Params
) -> tuple[list[Face], list[np.ndarray]]:
    """The faces of a file, and their encodings; none where it is no picture."""
    try:
        data = sendable(file.read_bytes())
        boxes = find_faces(client, data, config.facecrop)
        if not boxes:
            return [], []
        pixels = open_image(data).pixels
        pngs = [encode_png(crop(pixels, box)) for box in boxes]
        answers = client.classify(model, pngs, "stable")
        vectors = client.embed(model, pngs, "stable")
    except (OSError, BadImage, BadInput):
        return [], []
    faces = [
        Face(as_text(file), png, list(zip(one.names, one.scores, strict=True)))
        for png, one in zip(pngs, answers, strict=True)
    ]
    return faces, list(vectors)


def _order(state: Labelling) -> LabelOrder:
    unsure = [1 - face.ranking[0][1] * (face.ranking[0][0] != UNKNOWN) for face in state.faces]
    order = LabelOrder(state.encodings, np.array(unsure))
    for number, file in state.history:
        order.done(number, says_something=file is not None)
    return order


def _one(config: Params, state: Labelling) -> None:
    into = labels.folder("characters", config.data)
    number = _order(state).next()
    labelled = sum(file is not None for _, file in state.history)
    st.progress(len(state.history) / len(state.faces),
                f"{labelled} labelled, {len(state.faces) - len(state.history)} to go")  # fmt: skip
    if number is None:
        st.success("Every face is done.")
    else:
        _ask(state, number, into)
    if state.history:
        st.button("Take back", key="label-undo", shortcut="z", on_click=_undo, args=(state,))
    if labelled:
        _what_now(config, state, into)


def _ask(state: Labelling, number: int, into: Path) -> None:
    face = state.faces[number]
    left, right = st.columns((1, 2), gap="medium")
    with left, st.container(key="label-face"):
        st.image(face.png, width=192, alt="The face to be named")
        st.caption(widgets.escaped(Path(face.source).name))
    with right:
        best = [name for name, _ in face.ranking if name != UNKNOWN][:NAMES]
        with st.container(horizontal=True, key="label-names"):
            for place, name in enumerate(best, 1):
                score = dict(face.ranking)[name]
                st.button(
                    f"{widgets.escaped(name)} ({score:.0%})", key=f"label-{place}",
                    shortcut=str(place), type="primary" if place == 1 else "secondary",
                    on_click=_give, args=(state, number, name, into),
                )  # fmt: skip
        with (
            st.form(f"label-new-{number}", border=False, clear_on_submit=True),
            st.container(horizontal=True, vertical_alignment="bottom"),
        ):
            other = st.selectbox(
                "Another name", state.names, index=None, accept_new_options=True,
                key=f"label-other-{number}",
            )  # fmt: skip
            if st.form_submit_button("Give it") and other:
                _give(state, number, other.strip(), into)
                st.rerun()
        with st.container(horizontal=True):
            st.button("Skip", key="label-skip", shortcut="s", on_click=_pass, args=(state, number))
            st.button(
                "Not a face", key="label-none", shortcut="x", on_click=_pass, args=(state, number)
            )


def _give(state: Labelling, number: int, name: str, into: Path) -> None:
    face = state.faces[number]
    file = labels.keep(into, name, face.png, face.source, face.ranking[0][0])
    state.history.append((number, file))
    if name not in state.names:
        state.names = sorted([*state.names, name])


def _pass(state: Labelling, number: int) -> None:
    state.history.append((number, None))


def _undo(state: Labelling) -> None:
    _, file = state.history.pop()
    if file is not None and all(file != other for _, other in state.history):
        labels.take_back(file)


def _what_now(config: Params, state: Labelling, into: Path) -> None:
    """The command by which the labels are learnt."""
    st.caption(f"They are in {into}, with a log in {labels.LOG}.")
    if into == config.data.folder("characters"):
        st.code("dvc repro", language="sh")
        return
    given = sorted({file.parent for _, file in state.history if file is not None})
    lines = [f"celflow enroll '{folder.name}' '{folder}'" for folder in given]
    st.code("\n".join(lines), language="sh")
