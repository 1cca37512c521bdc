"""What the hand-made cartoon-or-photo models share: one figure of a picture, and a threshold."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression

from celflow import metrics, parallel
from celflow.files import write_json
from celflow.images import read_image
from celflow.params import Params
from celflow.manifest import Split, Examples
from stages.models import Log

MODEL_FILE = "model.json"
SPLITS: dict[Split, str] = {"train": "", "val": "val_"}  # and what their figures' names begin with


@dataclass(frozen=True)
class Measure:
    """A family of models: the figure, and on which side of its threshold the cartoons are.

    name: its section of params.yaml; the knobs there, but for `threshold`, go to the two functions.
    by_opencv: the figure of uint8 [H, W, 3], for training and evaluation.
    in_graph: the same in TensorFlow's ops, a scalar, for serving.
    published: the threshold that was published.
    cartoons: where they lie, above the threshold or below it.
    """

    name: str
    by_opencv: Callable[..., float]
    in_graph: Callable[..., Any]
    published: float
    cartoons: Literal["above", "below"]

    def fit(
        self, params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log
    ) -> None:
        """Choose threshold and slope on the pictures of train and val."""
        knobs = getattr(params.train, self.name).model_dump()
        chosen = knobs.pop("threshold")
        values, truth = {}, {}
        for part in SPLITS:
            pictures = splits[part]
            values[part] = self.values(pictures.paths, knobs, params.data.backend)
            truth[part] = pictures.truth
        both, is_cartoon = (
            np.concatenate([*values.values()]),
            np.concatenate([*truth.values()]) == 0,
        )
        if chosen == "tuned":
            threshold = self.best_threshold(both, is_cartoon)
        else:
            threshold = self.published if chosen == "published" else float(chosen)
        slope = self._slope(both, is_cartoon)
        write_json(folder / MODEL_FILE, {"threshold": threshold, "slope": slope, **knobs})
        figures = {}
        for part, prefix in SPLITS.items():
            scores = scores_of(values[part], threshold, slope)
            figures[f"{prefix}loss"] = metrics.log_loss(truth[part], scores)
            figures[f"{prefix}accuracy"] = metrics.accuracy(truth[part], scores)
        log(0, figures)

    def predict(self, folder: Path, paths: list[str]) -> np.ndarray:
        """float32 [N, 2]: scores of pictures, by OpenCV."""
        threshold, slope, knobs = _read(folder)
        return scores_of(self.values(paths, knobs), threshold, slope)

    def export(self, folder: Path, labels: list[str]) -> Any:
        """The same measure in TensorFlow's ops."""
        import tensorflow as tf

        from stages.models.graph import Classifier

        threshold, slope, knobs = _read(folder)

        def per_image(image: tf.Tensor) -> tf.Tensor:
            return tf.cast(self.in_graph(image, **knobs), tf.float64)

        def head(values: tf.Tensor) -> tf.Tensor:
            cartoon = tf.sigmoid(slope * (values - threshold))
            return tf.stack([cartoon, 1 - cartoon], axis=1)

        return Classifier(labels, per_image, head)

    def values(
        self, paths: Sequence[str], knobs: dict[str, Any], backend: str = "loky"
    ) -> np.ndarray:
        """float64 [N]: the figure of picture files."""

        def one(path: str) -> float:
            cv2.setNumThreads(1)  # every core has a picture of its own
            return self.by_opencv(read_image(Path(path)).pixels, **knobs)

        return np.array(parallel.parallel_map(one, paths, backend, f"measure {self.name}"))

    def best_threshold(self, values: np.ndarray, is_cartoon: np.ndarray) -> float:
        """The threshold of best balanced accuracy; in the middle of a gap between two pictures."""
        ordered = np.unique(values)
        if len(ordered) < 2:
            return self.published
        middles = (ordered[1:] + ordered[:-1]) / 2
        above, below = values[is_cartoon], values[~is_cartoon]
        if self.cartoons == "below":
            above, below = below, above
        recalls = [np.mean(above > t) + np.mean(below <= t) for t in middles]
        return float(middles[int(np.argmax(recalls))])

    def _slope(self, values: np.ndarray, is_cartoon: np.ndarray) -> float:
        """Of the logistic curve, a unit of the figure; never flat, never the wrong way round."""
        sign, spread = (1 if self.cartoons == "above" else -1), float(np.std(values)) or 1.0
        curve = LogisticRegression(C=1e3).fit(sign * values[:, None] / spread, is_cartoon)
        return sign * max(0.25, float(curve.coef_[0, 0])) / spread


def scores_of(values: np.ndarray, threshold: float, slope: float) -> np.ndarray:
    """float32 [N, 2], cartoon and photo: a logistic curve that passes 0.5 at the threshold."""
    cartoon = (1 + np.tanh(slope * (values - threshold) / 2)) / 2
    return np.stack([cartoon, 1 - cartoon], axis=1).astype(np.float32)


def _read(folder: Path) -> tuple[float, float, dict[str, Any]]:
    """Threshold, slope and knobs of a fitted model."""
    saved = json.loads((folder / MODEL_FILE).read_text())
    return saved.pop("threshold"), saved.pop("slope"), saved
