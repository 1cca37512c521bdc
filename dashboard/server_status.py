"""The sidebar's lines on the model server: whether it is up, and what it serves."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from celflow import params
from dashboard import model_client
from serving.client import ServerDown, ServerError, default_address


def show() -> None:
    """Ask the server, and show its state, its address and the versions of each model."""
    versions: dict[str, list[int]] = {}
    try:
        versions = model_client.all_available_versions(list(params.load().models))
        state = "up" if any(versions.values()) or model_client.client().healthy() else "loading"
    except ServerDown:
        state = "down"
    except ServerError:
        state = "unclear"
    lines = "".join(
        f"<li><span>{escape(model)}</span><span>{_list(numbers)}</span></li>"
        for model, numbers in versions.items()
    )
    with st.container(key="status", gap="xsmall"):
        st.html(
            f'<div class="status"><p><i class="dot {state}"></i>Model server: <b>{state}</b></p>'
            f"<p><code>{escape(default_address())}</code></p><ul>{lines}</ul></div>"
        )
        st.button("Ask again", icon=":material/refresh:", key="again", type="tertiary")


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(f"v{number}" for number in numbers) or "not served"
