"""A face of nobody known gets a name: kept in data/taught, and enrolled by the command line."""

import hashlib
from pathlib import Path

import numpy as np
import streamlit as st

from celflow.files import write_bytes
from celflow.images import encode_png
from dashboard import command
from dashboard.widgets import escaped

TAUGHT = Path("data/taught")  # <name>/<digest>.png; `celflow enroll NAME data/taught/NAME`


def offer(number: int, face: np.ndarray) -> None:
    """Let the visitor name a face, uint8 [h, w, 3]; the recogniser then knows one more."""
    if command.read_only():
        return
    with st.popover("Unknown: teach me", icon=":material/school:", key=f"teach-{number}"):
        name = st.text_input("Who is it?", key=f"teach-name-{number}")
        st.caption("One picture is a start; five of them make it sure.")
        if not st.button("Keep this face", key=f"teach-keep-{number}", disabled=not name.strip()):
            return
        folder = keep(name.strip(), face)
        kept = len(list(folder.glob("*.png")))
        st.success(f"{kept} face{'s' * (kept != 1)} of {escaped(name)} kept.")
        with st.spinner("Enrolling …"):
            done = command.run(["enroll", name.strip(), str(folder), "--json"], timeout=180)
        if done.error:
            st.error(escaped(done.error))
        else:
            version = done.json()["version"]
            st.success(
                f"character\\_embedding version {version} knows {escaped(name)}. It answers once "
                "it is promoted, on the page Models."
            )


def keep(name: str, face: np.ndarray) -> Path:
    """Write a face into the folder of its name; returns the folder."""
    folder = TAUGHT / name.replace("/", "_")
    png = encode_png(face)
    write_bytes(folder / f"{hashlib.sha256(png).hexdigest()[:16]}.png", png)
    return folder
