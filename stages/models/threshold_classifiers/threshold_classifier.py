"""A handcrafted feature of a picture and a threshold: cartoon or photo."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression

from celflow import metrics, parallel
from celflow.files import write_json
from celflow.images import read_image
from celflow.manifest import Split
from celflow.params import Section
from stages.models.common.calibration import Calibration
from stages.models.common.model import Classifier, Log, Servable, Splits

if TYPE_CHECKING:
    import tensorflow as tf

MODEL_FILE = "model.json"
LOG_PREFIX: dict[Split, str] = {"train": "", "val": "val_"}


class ThresholdConfig(Section):
    """Settings of a feature and its threshold."""

    threshold: str | float


ThresholdConfigType = TypeVar("ThresholdConfigType", bound=ThresholdConfig)


class ThresholdClassifier(Classifier[ThresholdConfigType]):
    """Cartoon or photo by one number of a picture.

    Attributes:
        published_threshold: the one of the paper.
        cartoons: where they lie, above the threshold or below it.
    """

    tasks = ("cartoon_or_photo",)
    has_threshold = True
    published_threshold: ClassVar[float]
    cartoons: ClassVar[Literal["above", "below"]]

    @abstractmethod
    def feature(self, pixels: np.ndarray) -> float:
        """The feature of uint8 [H, W, 3], by OpenCV: for training and evaluation."""

    @abstractmethod
    def feature_in_graph(self, image: "tf.Tensor") -> "tf.Tensor":
        """The same in TensorFlow's ops, a scalar: for serving."""

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Choose threshold and slope on the pictures of train and val."""
        chosen = self.config.threshold
        used = [split for split in LOG_PREFIX if len(splits[split])]
        values = {s: self.features(splits[s].paths) for s in used}
        truth = {s: splits[s].truth for s in used}
        both = np.concatenate([*values.values()])
        is_cartoon = np.concatenate([*truth.values()]) == 0
        if chosen == "tuned":
            threshold = self.best_threshold(both, is_cartoon)
        else:
            threshold = self.published_threshold if chosen == "published" else float(chosen)
        slope = self._slope(both, is_cartoon)
        write_json(folder / MODEL_FILE, {"threshold": threshold, "slope": slope})
        measured = {}
        for split in used:
            prefix = LOG_PREFIX[split]
            scores = scores_of(values[split], threshold, slope)
            measured[f"{prefix}loss"] = metrics.log_loss(truth[split], scores)
            measured[f"{prefix}accuracy"] = metrics.accuracy(truth[split], scores)
        log(0, measured)

    def predict(self, folder: Path, paths: list[str]) -> np.ndarray:
        """float32 [N, 2]: scores of pictures, by OpenCV."""
        return scores_of(self.features(paths), *_read(folder))

    def servable(self, folder: Path, labels: list[str], calibrated: Calibration) -> Servable:
        """The same feature in TensorFlow's ops."""
        import tensorflow as tf

        from stages.models.common.served_classifier import ServedClassifier

        threshold, slope = _read(folder)

        def per_image(image: tf.Tensor) -> tf.Tensor:
            return tf.cast(self.feature_in_graph(image), tf.float64)

        def head(values: tf.Tensor) -> tf.Tensor:
            cartoon = tf.sigmoid(slope * (values - threshold))
            return tf.stack([cartoon, 1 - cartoon], axis=1)

        return ServedClassifier(labels, per_image, head, calibration=calibrated)

    def features(self, paths: Sequence[str]) -> np.ndarray:
        """float64 [N]: the feature of picture files."""

        def one(path: str) -> float:
            cv2.setNumThreads(1)  # every core has a picture of its own
            return self.feature(read_image(Path(path)).pixels)

        workers = self.params.data
        return np.array(parallel.parallel_map(one, paths, workers, f"measure {self.name}"))

    def best_threshold(self, values: np.ndarray, is_cartoon: np.ndarray) -> float:
        """The threshold of best balanced accuracy; in the middle of a gap between two pictures."""
        ordered = np.unique(values)
        if len(ordered) < 2:
            return self.published_threshold
        middles = (ordered[1:] + ordered[:-1]) / 2
        above, below = values[is_cartoon], values[~is_cartoon]
        if self.cartoons == "below":
            above, below = below, above
        recalls = [np.mean(above > t) + np.mean(below <= t) for t in middles]
        return float(middles[int(np.argmax(recalls))])

    def _slope(self, values: np.ndarray, is_cartoon: np.ndarray) -> float:
        """Of the logistic curve, a unit of the feature; never flat, never the wrong way round."""
        sign, spread = (1 if self.cartoons == "above" else -1), float(np.std(values)) or 1.0
        curve = LogisticRegression(C=1e3).fit(sign * values[:, None] / spread, is_cartoon)
        return sign * max(0.25, float(curve.coef_[0, 0])) / spread


def scores_of(values: np.ndarray, threshold: float, slope: float) -> np.ndarray:
    """float32 [N, 2], cartoon and photo: a logistic curve that passes 0.5 at the threshold."""
    cartoon = (1 + np.tanh(slope * (values - threshold) / 2)) / 2
    return np.stack([cartoon, 1 - cartoon], axis=1).astype(np.float32)


def _read(folder: Path) -> tuple[float, float]:
    """Threshold and slope of a fitted model."""
    saved = json.loads((folder / MODEL_FILE).read_text())
    return saved["threshold"], saved["slope"]
