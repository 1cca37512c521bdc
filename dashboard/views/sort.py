"""Page: a folder into piles, with corrections by a click, applied and undone as `celflow sort`."""

import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import get_args

import streamlit as st

from celflow import params
from celflow.errors import UserError
from celflow.names import as_text
from celflow.params import Dataset, Params
from dashboard import command, labels, model_client, tiles, widgets
from serving.client import ServerError
from sorting.journal import MODES, Mode, Plan
from sorting.sorter import BATCH, Sorter, folder_name
from sorting.undo import undo
from sorting.verdicts import WAYS, By, LeftOut, Verdict, asker, model_for, verdicts
from sorting.walk import files_in

HERE, UPLOAD = "A folder on this machine", "An upload"
_DATASETS: dict[By, Dataset] = {"photo": "cartoon_or_photo", "character": "characters"}
_STATE = "sorted"  # in the session: what was looked through last


def page() -> None:
    """Piles as thumbnails; a click corrects; then copy, move or link, and undo."""
    config = params.load()
    st.title("Sort")
    st.write("A folder of pictures into piles: cartoon or photo, or by character.")
    ways = [UPLOAD] if command.read_only() else [HERE, UPLOAD]
    source = st.segmented_control("What", ways, default=ways[0], key="sort-source", required=True)
    by: By = st.segmented_control("By", WAYS, default="photo", key="sort-by", required=True)
    with st.form("sort-form", border=False):
        if source == HERE:
            folder = st.text_input("Folder", key="sort-folder", placeholder="~/Pictures/new")
            uploads = []
        else:
            folder = ""
            uploads = st.file_uploader(
                "Pictures", accept_multiple_files="directory", key="sort-upload"
            )
        looked = st.form_submit_button("Look through it", type="primary")
    if looked:
        _look(config, by, folder, [(one.name, one.getvalue()) for one in uploads])
    if _STATE in st.session_state:
        _piles(config)


def _look(config: Params, by: By, folder: str, uploads: list[tuple[str, bytes]]) -> None:
    """Ask about every picture; the answers stay in the session."""
    root = Path(folder).expanduser().resolve() if folder else None
    if root is not None and not root.is_dir():
        raise UserError(f"no folder {root} on this machine")
    if root is None and not uploads:
        st.info("Name a folder, or upload one.", icon=":material/folder:")
        return
    model = model_for(by, config)
    found: list[tuple[str, bytes | Path]] = []
    piles: list[str] = []
    scores: list[float | None] = []
    versions: list[int] = []
    left_out: dict[str, str] = {}
    files: dict[Path, bytes | Path] = (
        {path: path for path in files_in(root)} if root else {Path(n): d for n, d in uploads}
    )
    ask = asker(model_client.client(), model, "stable", config, files.__getitem__)
    bar = st.progress(0.0, "Looking …")
    try:
        for number, (path, verdict) in enumerate(verdicts(list(files), ask), 1):
            name = str(path.relative_to(root)) if root else str(path)
            bar.progress(number / len(files), f"{number} of {len(files)}")
            if isinstance(verdict, LeftOut):
                left_out[name] = verdict.reason
                continue
            found.append((name, files[path]))
            piles.append(verdict.pile)
            scores.append(verdict.score)
            versions.append(verdict.version)
    except ServerError as error:
        widgets.show_error(error, model)
        return
    finally:
        bar.empty()
    st.session_state[_STATE] = {
        "root": root, "by": by, "model": model, "files": found, "piles": piles,
        "asked": list(piles), "scores": scores, "versions": versions, "left_out": left_out,
        "done": None,
    }  # fmt: skip


def _piles(config: Params) -> None:
    state = st.session_state[_STATE]
    counts = Counter(state["piles"])
    if state["left_out"]:
        with st.expander(f"{len(state['left_out'])} files are left out"):
            for name, why in list(state["left_out"].items())[:100]:
                st.caption(f"{widgets.escaped(as_text(name))}: {widgets.escaped(why)}")
    if not counts:
        st.info("There is no picture in it.")
        return
    names = sorted(counts, key=lambda pile: -counts[pile])
    if st.session_state.get("sort-pile") not in names:
        st.session_state["sort-pile"] = names[0]
    pile = st.segmented_control(
        "Pile", names, format_func=lambda name: f"{widgets.escaped(name)} ({counts[name]})",
        key="sort-pile", required=True,
    )  # fmt: skip
    others = [name for name in _known_piles(state, names) if name != pile]
    into = st.selectbox(
        "A click on a picture puts it into", others, key=f"sort-into-{pile}",
        accept_new_options=True,
    )  # fmt: skip
    # The least sure first: that is where a look is needed.
    at = sorted(
        (i for i, one in enumerate(state["piles"]) if one == pile),
        key=lambda i: state["scores"][i] or 0.0,
    )
    tiles.show(
        [state["files"][i] for i in at],
        lambda n: f"into {into}",
        lambda n: _correct(at[n], str(into)) if into else None,
        key="sort-tiles",
    )
    corrected = sum(a != b for a, b in zip(state["piles"], state["asked"], strict=True))
    if corrected:
        st.caption(f"{corrected} corrected; they are kept as labels when the piles are applied.")
    if state["root"] is None:
        st.download_button(
            "Download the piles (ZIP)", _zip, "sorted.zip", "application/zip", on_click="ignore"
        )
    else:
        _apply(config)


def _known_piles(state: dict[str, object], names: list[str]) -> list[str]:
    known = ["cartoon", "photo", "unsure"] if state["by"] == "photo" else ["unknown", "no face"]
    return list(dict.fromkeys([*names, *known]))


def _correct(number: int, pile: str) -> None:
    """Runs before the page does: a picture was clicked."""
    st.session_state[_STATE]["piles"][number] = pile


def _apply(config: Params) -> None:
    state = st.session_state[_STATE]
    if command.read_only():
        st.caption("This page is read-only: nothing is copied or moved.")
        return
    root: Path = state["root"]
    out = st.text_input("Into", str(root.with_name(f"{root.name}-sorted")), key="sort-out")
    mode: Mode = st.segmented_control(
        "How", get_args(Mode), default=MODES[0], key="sort-mode", required=True
    )
    target = Path(out).expanduser().resolve()
    with st.container(horizontal=True):
        if st.button("Apply", type="primary", key="sort-apply"):
            summary = _place(config, Plan(root, target, state["model"], mode))
            state["done"] = ", ".join(f"{n} in {pile}" for pile, n in summary.items())
        if st.button("Undo", key="sort-undo"):
            back, stayed = undo(target)
            state["done"] = f"{back} files are back as they were" + (
                f"; {len(stayed)} were changed since, and stay" if stayed else ""
            )
    if state["done"]:
        st.success(state["done"])


def _place(config: Params, plan: Plan) -> dict[str, int]:
    state = st.session_state[_STATE]
    into = labels.folder(_DATASETS[state["by"]], config.data)
    batch: list[tuple[Path, Verdict]] = []
    with Sorter(plan) as sorter:
        for (name, _), pile, asked, score, version in zip(
            state["files"], state["piles"], state["asked"], state["scores"], state["versions"],
            strict=True,
        ):  # fmt: skip
            file = plan.folder / name
            if sorter.is_done(file) or not file.is_file():
                continue
            if pile != asked:
                labels.keep(into, folder_name(pile), file.read_bytes(), as_text(name), asked)
                score = None
            batch.append((file, Verdict(pile, score, version)))
        for start in range(0, len(batch), BATCH):
            sorter.place(batch[start : start + BATCH])
        return sorter.finish().piles


def _zip() -> bytes:
    state = st.session_state[_STATE]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for (name, content), pile in zip(state["files"], state["piles"], strict=True):
            archive.writestr(f"{folder_name(pile)}/{as_text(name)}", content)
    return buffer.getvalue()
