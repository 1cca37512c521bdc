"""Baselines that know nothing of drawings, which sketchify must beat."""

import cv2
import numpy as np

from stages.models.sketchify.pairs import to_bytes, to_unit

LINE_BLUR = 0.8  # px, sigma


def fit_line(binaries: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Least squares from blurred binaries to sketches, uint8 [N, S, S], counted 0 to 1."""
    slope, offset = np.polyfit(_blurred(binaries).ravel(), true.ravel() / np.float32(255), 1)
    return {"slope": float(slope), "offset": float(offset)}


def on_line(binaries: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """uint8 [N, S, S]: blurred binaries, moved by `fit_line`'s coefficients."""
    return to_bytes(np.clip(slope * _blurred(binaries) + offset, 0, 1))


def _blurred(binaries: np.ndarray) -> np.ndarray:
    """float32 [N, S, S], 0 to 1."""
    return np.stack([cv2.GaussianBlur(b, (0, 0), LINE_BLUR) for b in to_unit(binaries)])
