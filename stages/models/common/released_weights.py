"""Weights that travel with the code: a file `.npz` in half precision, and a card beside it."""

import io
from pathlib import Path

import keras
import numpy as np

from celflow.errors import UserError
from celflow.files import write_bytes


def save(model: keras.Model, path: Path) -> None:
    """Write all variables of a model, float16, in its own order, whole or not at all.

    Raises:
        ValueError: a value is too large for half precision (65504).
    """
    halves = [np.asarray(w, dtype=np.float32).astype(np.float16) for w in model.get_weights()]
    if not all(np.isfinite(half).all() for half in halves):
        raise ValueError("a weight does not fit into half precision")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, *halves)
    write_bytes(path, buffer.getvalue())


def load(model: keras.Model, init: str, released: Path, key: str) -> None:
    """Give `model` its first weights.

    init: "none" leaves it as it is, "released" takes the file `released`, else a path of `save`.
    key: of `init` in params.yaml, for errors.

    Raises:
        UserError: there is no such file, or it is of another network.
    """
    if init == "none":
        return
    path = released if init == "released" else Path(init)
    try:
        with np.load(path, allow_pickle=False) as saved:
            values = [saved[name].astype(np.float32) for name in saved.files]
    except FileNotFoundError:
        raise UserError(f"{key}: no file {path}") from None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{key}: {path} holds no weights ({error})") from None
    if [value.shape for value in values] != [tuple(w.shape) for w in model.weights]:
        raise UserError(
            f"{key}: {path} is of another network than params.yaml describes; "
            "take its width, or init: none"
        )
    model.set_weights(values)
