"""How near the cartoonizer's results come to drawings, and how far they go from the photos."""

import cv2
import numpy as np

from stages.models.cartoonizer.features import Features, kernel_distance


def compare(
    features: Features, photos: list[np.ndarray], results: list[np.ndarray], drawings: np.ndarray
) -> dict[str, float]:
    """Metrics of results, uint8 [H, W, 3] each, beside their photos.

    drawings: pooled features of real drawings, [N, D].

    `kid_before`, `kid_after`: kernel inception distance of photos and of results to drawings;
    `style_gain`: by how much it fell, 1 is all, 0 where photos lay no further off than drawings;
    `content_distance`: to the photo;
    `edge_sharpness`: mean difference of neighbouring pixels, over the photo's.
    """
    before = kernel_distance(features.pooled(photos), drawings)
    after = kernel_distance(features.pooled(results), drawings)
    pairs = list(zip(results, photos, strict=True))
    return {
        "kid_before": before,
        "kid_after": after,
        "style_gain": 1 - after / before if before > 0 else 0.0,
        "content_distance": float(np.mean([features.distance(*pair) for pair in pairs])),
        "edge_sharpness": float(np.mean([_edges(ours) / _edges(photo) for ours, photo in pairs])),
    }


def _edges(pixels: np.ndarray) -> float:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) + 1e-3
