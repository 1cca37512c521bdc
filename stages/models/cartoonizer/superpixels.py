"""The structure of a picture: flat regions (white-box cartoonization, section 3.2)."""

from typing import Literal

import numpy as np
from skimage.segmentation import felzenszwalb, slic

Method = Literal["felzenszwalb", "slic"]

REGIONS = 200  # of 256 x 256 px; a picture has as many more as it is larger
POWER = 1.2  # of the colours, against dullness (eq. 3)
BINS = 25  # a channel's histogram, in selective search


def structure(
    pixels: np.ndarray, method: Method = "felzenszwalb", power: float = POWER
) -> np.ndarray:
    """uint8 [H, W, 3] in flat regions, of uint8 [H, W, 3]; a power of 1 keeps the colours."""
    return colour(pixels, regions(pixels, method), power)


def regions(pixels: np.ndarray, method: Method = "felzenszwalb") -> np.ndarray:
    """int [H, W]: number of the region of each pixel; about 200 of them in 256 x 256 px.

    felzenszwalb: small regions (scale 10, sigma 0.8, at least 100 px), merged by selective search.
    slic: the quick choice.
    """
    count = max(4, round(REGIONS * pixels.shape[0] * pixels.shape[1] / 256**2))
    if method == "slic":
        return slic(pixels, count, compactness=10, max_num_iter=5, start_label=0)
    return merge(pixels, felzenszwalb(pixels, scale=10, sigma=0.8, min_size=100), count)


def colour(pixels: np.ndarray, labels: np.ndarray, power: float = POWER) -> np.ndarray:
    """uint8 [H, W, 3]: every region in one colour, chosen by how mixed it is (eq. 3).

    Its mean where the standard deviation is under 20, its median where it is over 40, and their
    half between.
    """
    flat = pixels.reshape(-1, 3).astype(np.float32)
    order = np.argsort(labels.ravel(), kind="stable")
    bounds = np.flatnonzero(np.diff(labels.ravel()[order])) + 1
    drawn = np.empty_like(flat)
    for members in np.split(order, bounds):
        inside = flat[members]
        mean, median, spread = inside.mean(axis=0), np.median(inside, axis=0), inside.std()
        share = 1.0 if spread < 20 else 0.5 if spread < 40 else 0.0
        drawn[members] = share * mean + (1 - share) * median
    bright = 255 * (drawn / 255) ** power
    return bright.round().astype(np.uint8).reshape(pixels.shape)


def merge(pixels: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    """int [H, W]: neighbouring regions merged, the likest first, until there are at most `most`.

    Likeness is that of selective search (Uijlings et al. 2013, section 3.2: colour, size and fill).
    """
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    count = labels.max() + 1
    sizes = np.bincount(labels.ravel(), minlength=count).astype(float)
    histograms = _histograms(pixels, labels, count)
    boxes = _boxes(labels, count)
    neighbours = _neighbours(labels, count)

    def likeness(a: int, b: int) -> float:
        low, high = np.minimum(boxes[a], boxes[b])[:2], np.maximum(boxes[a], boxes[b])[2:]
        hull = np.prod(high - low)
        size = 1 - (sizes[a] + sizes[b]) / labels.size
        fill = 1 - (hull - sizes[a] - sizes[b]) / labels.size
        return float(np.minimum(histograms[a], histograms[b]).sum() + size + fill)

    likest = {(a, b): likeness(a, b) for a in range(count) for b in neighbours[a] if a < b}
    parent = np.arange(count)
    for _ in range(count - most):
        if not likest:
            break
        a, b = max(likest, key=lambda pair: likest[pair])
        histograms[a] = (sizes[a] * histograms[a] + sizes[b] * histograms[b]) / (
            sizes[a] + sizes[b]
        )
        boxes[a] = [*np.minimum(boxes[a], boxes[b])[:2], *np.maximum(boxes[a], boxes[b])[2:]]
        sizes[a] += sizes[b]
        parent[parent == b] = a
        for gone in [pair for pair in likest if a in pair or b in pair]:
            del likest[gone]
        neighbours[a] = (neighbours[a] | neighbours[b]) - {a, b}
        for other in neighbours[a]:
            neighbours[other] = (neighbours[other] - {b}) | {a}
            likest[min(a, other), max(a, other)] = likeness(a, other)
    return parent[labels]


def _histograms(pixels: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """float [R, 3 x bins], each adding up to 1."""
    bins = pixels.astype(int) * BINS // 256 + BINS * np.arange(3)
    where = labels[..., None] * 3 * BINS + bins
    table = np.bincount(where.ravel(), minlength=count * 3 * BINS).reshape(count, -1)
    return table / table.sum(axis=1, keepdims=True)


def _boxes(labels: np.ndarray, count: int) -> np.ndarray:
    """int [R, 4]: top, left, bottom, right (past the last pixel)."""
    rows, columns = np.indices(labels.shape)
    boxes = np.zeros((count, 4), int)
    boxes[:, :2] = max(labels.shape)
    for axis, position in enumerate((rows, columns)):
        np.minimum.at(boxes[:, axis], labels, position)
        np.maximum.at(boxes[:, axis + 2], labels, position + 1)
    return boxes


def _neighbours(labels: np.ndarray, count: int) -> list[set[int]]:
    """The regions that touch each region."""
    sets: list[set[int]] = [set() for _ in range(count)]
    pairs = np.concatenate(
        [
            np.stack([labels[:-1].ravel(), labels[1:].ravel()], axis=1),
            np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], axis=1),
        ]
    )
    for a, b in np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0).tolist():
        sets[a].add(b)
        sets[b].add(a)
    return sets
