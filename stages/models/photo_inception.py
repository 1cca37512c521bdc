"""Cartoon or photo, by transfer learning on Inception-v3.

Some of the photos are painted over by filters and learnt as cartoons, too: what they show is the
same, so the network has to look at how it is drawn. That carries over to sources it never saw.
"""

from pathlib import Path

import cv2
import numpy as np

from celflow import parallel
from celflow.images import encode_png, read_image, shrink
from celflow.params import Params
from celflow.manifest import Split, Examples
from stages.models import Log, network, transfer

export = network.export
predict = network.predict

SIDE = 400  # px, the longer side of a painted photo


def paint(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [H, W, 3] of a photo, uint8 [H, W, 3]: as if painted, in one of four manners."""
    manner = rng.integers(4)
    if manner == 0:
        return cv2.stylization(pixels, sigma_s=rng.uniform(10, 60), sigma_r=rng.uniform(0.2, 0.5))
    if manner == 1:
        return cv2.pyrMeanShiftFiltering(pixels, 8, 24)
    if manner == 2:
        smooth = cv2.edgePreservingFilter(pixels, sigma_s=rng.uniform(20, 60), sigma_r=0.4)
        return cv2.detailEnhance(smooth, sigma_s=10, sigma_r=0.15)
    for _ in range(4):
        pixels = cv2.bilateralFilter(pixels, 7, 40, 7)
    grey = cv2.medianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 3)
    lines = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, blockSize=7, C=5
    )
    return np.where(lines[..., None] > 0, pixels, pixels * 0.4).astype(np.uint8)


def with_painted(pictures: Examples, share: float, folder: Path, params: Params) -> Examples:
    """`pictures`, and a painted copy in `folder` of a share of its photos, as cartoons."""
    photo, cartoon = (pictures.labels.index(label) for label in ("photo", "cartoon"))
    rng = np.random.default_rng(params.seed)
    photos = np.flatnonzero(pictures.truth == photo)
    chosen = np.sort(rng.permutation(photos)[: round(share * len(photos))])
    folder.mkdir(parents=True, exist_ok=True)

    def one(index: int) -> str:
        cv2.setNumThreads(1)
        pixels = shrink(read_image(Path(pictures.paths[index])).pixels, SIDE)
        painted = paint(pixels, np.random.default_rng([params.seed, index]))
        (folder / f"{index}.png").write_bytes(encode_png(painted))
        return str(folder / f"{index}.png")

    copies = parallel.parallel_map(one, chosen.tolist(), params.data.backend, "paint photos")
    truth = np.concatenate([pictures.truth, np.full(len(copies), cartoon)])
    return Examples([*pictures.paths, *copies], truth, pictures.labels)


def validation(params: Params, val: Examples, scratch: Path) -> Examples:
    """What the border and "unsure" are set by: also there, painted photos are cartoons."""
    share = params.train.photo_inception.painted
    return with_painted(val, share, scratch / "painted/val", params)


def fit(params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log) -> None:
    """Train on the pictures of train and stop by those of val, painted photos added to both."""
    knobs = params.train.photo_inception
    train = with_painted(splits["train"], knobs.painted, scratch / "painted/train", params)
    val = validation(params, splits["val"], scratch)
    pictures = {**splits, "train": train, "val": val}
    transfer.fit(knobs, params, pictures, folder, scratch, log)
