"""Colour count: drawings have few colours, so the commonest ones cover much of the picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression

from celflow import metrics, parallel
from celflow.files import write_json
from celflow.images import read_image
from celflow.params import Params
from stages.manifest import Part, Pictures
from stages.models import Log

PUBLISHED_THRESHOLD = 0.3
LABELS = ["cartoon", "photo"]


def share(pixels: np.ndarray, colours: int, side: int) -> float:
    """Share of a picture that its commonest colours cover, 0 to 1.

    pixels: uint8 [H, W, 3]; stretched to `side` x `side` first, as published. Colours are packed
    exactly, 8 bits a channel (the published decimal packing makes different ones collide).
    """
    image = cv2.resize(pixels, (side, side)).astype(np.uint32)
    packed = (image[..., 0] << 16) | (image[..., 1] << 8) | image[..., 2]
    counts = np.sort(np.unique(packed, return_counts=True)[1])
    return float(counts[-colours:].sum() / packed.size)


def shares(paths: Sequence[str], colours: int, side: int, backend: str = "loky") -> np.ndarray:
    """float64 [N]: `share` of picture files."""

    def one(path: str) -> float:
        cv2.setNumThreads(1)
        return share(read_image(Path(path)).pixels, colours, side)

    return np.array(parallel.each(one, paths, backend, "count colours"))


def scores_of(values: np.ndarray, threshold: float, slope: float) -> np.ndarray:
    """float32 [N, 2], cartoon and photo: a logistic curve that passes 0.5 at the threshold."""
    cartoon = 1 / (1 + np.exp(-slope * (values - threshold)))
    return np.stack([cartoon, 1 - cartoon], axis=1).astype(np.float32)


def best_threshold(values: np.ndarray, is_cartoon: np.ndarray) -> float:
    """The threshold of best balanced accuracy; in the middle of a gap between two pictures."""
    ordered = np.unique(values)
    if len(ordered) < 2:
        return PUBLISHED_THRESHOLD
    middles = (ordered[1:] + ordered[:-1]) / 2
    recalls = [np.mean(values[is_cartoon] > t) + np.mean(values[~is_cartoon] <= t) for t in middles]
    return float(middles[int(np.argmax(recalls))])


def fit(params: Params, parts: dict[Part, Pictures], folder: Path, scratch: Path, log: Log) -> None:
    """Choose threshold and slope on the pictures of train and val."""
    knobs = params.train.colours
    values, truth = {}, {}
    for part in ("train", "val"):
        pictures = parts[part]
        values[part] = shares(pictures.paths, knobs.colours, knobs.side, params.data.backend)
        truth[part] = pictures.truth
    both, is_cartoon = np.concatenate([*values.values()]), np.concatenate([*truth.values()]) == 0
    curve = LogisticRegression(C=1e3).fit(both[:, None], is_cartoon)
    slope = max(1.0, float(curve.coef_[0, 0]))
    if knobs.threshold == "tuned":
        threshold = best_threshold(both, is_cartoon)
    elif knobs.threshold == "published":
        threshold = PUBLISHED_THRESHOLD
    else:
        threshold = float(knobs.threshold)
    write_json(
        folder / "model.json",
        {"threshold": threshold, "slope": slope, "colours": knobs.colours, "side": knobs.side},
    )
    figures = {}
    for part, prefix in (("train", ""), ("val", "val_")):
        scores = scores_of(values[part], threshold, slope)
        figures[f"{prefix}loss"] = metrics.log_loss(truth[part], scores)
        figures[f"{prefix}accuracy"] = metrics.accuracy(truth[part], scores)
    log(0, figures)


def predict(folder: Path, paths: list[str]) -> np.ndarray:
    """float32 [N, 2]: scores of pictures, by OpenCV."""
    saved = json.loads((folder / "model.json").read_text())
    values = shares(paths, saved["colours"], saved["side"])
    return scores_of(values, saved["threshold"], saved["slope"])


def export(folder: Path, labels: list[str]) -> Any:
    """The same measure in TensorFlow's ops."""
    import tensorflow as tf

    from stages.models.graph import Classifier, resize_as_opencv

    saved = json.loads((folder / "model.json").read_text())
    side, colours = saved["side"], saved["colours"]

    def per_image(image: tf.Tensor) -> tf.Tensor:
        scaled = tf.cast(resize_as_opencv(image, side), tf.int32)
        packed = tf.reduce_sum(scaled * tf.constant([65536, 256, 1]), axis=-1)
        counts = tf.unique_with_counts(tf.reshape(packed, [-1])).count
        top = tf.math.top_k(counts, tf.minimum(colours, tf.size(counts)), sorted=False).values
        return tf.cast(tf.reduce_sum(top), tf.float32) / float(side * side)

    def head(values: tf.Tensor) -> tf.Tensor:
        cartoon = tf.sigmoid(saved["slope"] * (values - saved["threshold"]))
        return tf.stack([cartoon, 1 - cartoon], axis=1)

    return Classifier(labels, per_image, head)
