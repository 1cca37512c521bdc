"""Weights that come with the project, in half precision, each with a card beside it."""

from pathlib import Path

import keras
import numpy as np

from celflow.errors import UserError

FOLDER = Path(__file__).parent / "released"


def load(model: keras.Model, which: str, name: str) -> None:
    """Give `model` its starting weights.

    which: `none` (as it is), `released` (the project's, of `name`), or the path of such a file.

    Raises:
        UserError: there is no such file, or it is of another network.
    """
    if which == "none":
        return
    file = FOLDER / f"{name}.npz" if which == "released" else Path(which)
    try:
        with np.load(file) as kept:
            model.set_weights([kept[key].astype(np.float32) for key in kept.files])
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{name}: '{which}' gives no weights of this network ({reason}); change its size back, "
            "or set init: none"
        ) from None


def save(model: keras.Model, file: Path) -> None:
    """Write the weights of `model`, half precision, in its own order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    weights = {
        f"w{i:03}": weight.astype(np.float16) for i, weight in enumerate(model.get_weights())
    }
    np.savez_compressed(file, **weights)
