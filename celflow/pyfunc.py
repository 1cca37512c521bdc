"""How MLflow loads a registered SavedModel: `mlflow.pyfunc.load_model("models:/NAME@champion")`."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from celflow.quiet_tensorflow import import_tensorflow


class SavedModelFunc:
    """A SavedModel with the interface of an MLflow pyfunc."""

    def __init__(self, folder: Path) -> None:
        import_tensorflow()
        import tensorflow as tf

        self._loaded = tf.saved_model.load(str(folder))
        self._predict = self._loaded.signatures["serving_default"]

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer for the picture files in the column `image_bytes`, a row each.

        A classifier gives scores, in a column for each class; an image model gives PNG files, in a
        column `image_png`. The latter gets one picture at a time, because the pictures of a batch
        would have to be of one size. A face detector gives `boxes` (float32 [K, 4]: left, top,
        width, height in pixels) and `scores` (float32 [K]).
        """
        import tensorflow as tf

        if "image_png" in self._predict.structured_outputs:
            answers = [
                self._predict(image_bytes=tf.constant([data]))["image_png"].numpy()[0]
                for data in model_input["image_bytes"]
            ]
            return pd.DataFrame({"image_png": answers}, index=model_input.index)
        answer = self._predict(image_bytes=tf.constant(model_input["image_bytes"].tolist()))
        if "boxes" in answer:
            columns = {
                name: [
                    row[:n] for row, n in zip(answer[name].numpy(), answer["count"], strict=True)
                ]
                for name in ("boxes", "scores")
            }
            return pd.DataFrame(columns, index=model_input.index)
        names = [name.decode() for name in np.asarray(answer["classes"])[0]]
        return pd.DataFrame(np.asarray(answer["scores"]), columns=names, index=model_input.index)


def _load_pyfunc(path: str) -> SavedModelFunc:
    found = next(Path(path).rglob("saved_model.pb"))
    return SavedModelFunc(found.parent)
