"""A picture and its drawing, one over the other, with a handle between them; and the full size."""

import base64
import io
from functools import partial

import numpy as np
import streamlit as st
from PIL import Image

from celflow.images import encode_png, open_image, shrink
from dashboard import model_client, widgets
from dashboard.picture_input import Picture
from serving.client import Client, ServerError, full_size

PREVIEW = 768  # px; what is shown is drawn from at most this, so that the page stays quick

# The slider is the browser's own, so that keys move it: its value clips the drawing above the
# picture.
_PAGE = """
<figure class="before-after">
  <div>
    <img src="{before}" alt="The picture">
    <img src="{after}" alt="The drawing" class="after">
  </div>
  <input type="range" min="0" max="100" value="50" aria-label="How much of the drawing is shown">
</figure>
"""
_SCRIPT = """
export default function ({ parentElement }) {
  const slider = parentElement.querySelector("input");
  const after = parentElement.querySelector(".after");
  const clip = () => { after.style.clipPath = `inset(0 0 0 ${100 - slider.value}%)`; };
  slider.oninput = clip;
  clip();
}
"""
_STYLE = """
figure { margin: 0; max-width: 480px; }
div { position: relative; }
img { width: 100%; display: block; border-radius: 0.6rem; }
.after { position: absolute; inset: 0; height: 100%; }
input { width: 100%; accent-color: var(--st-primary-color); margin: 0.4rem 0; }
"""


def show(model: str, picture: Picture, styles: dict[str, float] | None = None) -> None:
    """Show what a model draws of a picture, with a slider, and offer it for download."""
    small = shrink(picture.pixels, PREVIEW)
    try:
        with st.spinner("Drawing …"):
            drawing, note = _draw(model, encode_png(small), styles or {})
    except ServerError as error:
        widgets.show_error(error, model)
        return
    with st.container(key=f"before-after-{model}"):
        page = _PAGE.format(before=_uri(encode_png(small)), after=_uri(drawing))
        slider = st.components.v2.component(
            f"before_after_{model}", html=page, css=_STYLE, js=_SCRIPT
        )
        slider(key=f"slider-{model}")
        st.caption(f"{widgets.escaped(model)}, {note}")
        download(model, picture, drawing, styles or {})


def download(model: str, picture: Picture, drawing: bytes, styles: dict[str, float]) -> None:
    """Buttons that save the drawing as it is shown and, of a larger picture, in its full size.

    What is larger is drawn when its button is pressed, as `celflow draw` does it.
    """
    height, width = picture.pixels.shape[:2]
    shown = Image.open(io.BytesIO(drawing)).size
    name = f"{picture.name.rsplit('.', 1)[0]}-{model}"
    with st.container(horizontal=True, key=f"downloads-{model}"):
        st.download_button(
            f"Save as PNG ({shown[0]} × {shown[1]})", drawing, f"{name}.png", "image/png",
            key=f"save-{model}", on_click="ignore",
        )  # fmt: skip
        if (width, height) != shown:
            st.download_button(
                f"Save in full size ({width} × {height})",
                partial(_full_size, model_client.client(), model, picture, styles),
                f"{name}-full.png", "image/png",
                key=f"save-full-{model}", on_click="ignore",
            )  # fmt: skip


def _full_size(client: Client, model: str, picture: Picture, styles: dict[str, float]) -> bytes:
    """A drawing in the picture's size, with its transparency."""
    photo = full_size.from_bytes(picture.file)
    drawn: bytes = client.draw(model, photo.sent(), "stable", **styles).output("image_png", model)[
        0
    ]
    return photo.finished(drawn, keep_exif=False)


def _draw(model: str, data: bytes, styles: dict[str, float]) -> tuple[bytes, str]:
    return model_client.draw(model, data, styles)


def _uri(png: bytes) -> str:
    """A PNG for a page, as JPEG, which is smaller."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(open_image(png).pixels)).save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
