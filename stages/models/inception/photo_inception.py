"""Cartoon or photo, by transfer learning on Inception-v3.

Some of the photos are painted over by filters and learnt as cartoons, too: what they show is the
same, so the network has to look at how it is drawn. That carries over to sources it never saw.
"""

from pathlib import Path

import cv2
import numpy as np

from celflow.images import encode_png, read_image, shrink
from celflow.manifest import Examples
from celflow.parallel import parallel_map
from celflow.params import Params, Share
from stages.models.common.model import Log, Splits
from stages.models.inception.transfer import TransferClassifier, TransferConfig

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


def with_painted(examples: Examples, share: float, folder: Path, params: Params) -> Examples:
    """`examples`, and a painted copy in `folder` of a share of its photos, as cartoons."""
    photo, cartoon = (examples.labels.index(label) for label in ("photo", "cartoon"))
    rng = np.random.default_rng(params.seed)
    photos = np.flatnonzero(examples.truth == photo)
    chosen = np.sort(rng.permutation(photos)[: round(share * len(photos))])
    folder.mkdir(parents=True, exist_ok=True)

    def one(index: int) -> str:
        cv2.setNumThreads(1)
        pixels = shrink(read_image(Path(examples.paths[index])).pixels, SIDE)
        painted = paint(pixels, np.random.default_rng([params.seed, index]))
        (folder / f"{index}.png").write_bytes(encode_png(painted))
        return str(folder / f"{index}.png")

    copies = parallel_map(one, chosen.tolist(), params.data, "paint photos")
    truth = np.concatenate([examples.truth, np.full(len(copies), cartoon)])
    return Examples([*examples.paths, *copies], truth, examples.labels)


class PhotoInceptionConfig(TransferConfig):
    """Settings of the transfer network that tells cartoons from photos."""

    painted: Share


class PhotoInception(TransferClassifier[PhotoInceptionConfig]):
    """Cartoon or photo; painted photos are added to train and val as cartoons."""

    config_class = PhotoInceptionConfig
    tasks = ("cartoon_or_photo",)

    def validation(self, val: Examples, checkpoint_dir: Path) -> Examples:
        """What the border and "unsure" are set by: there too, painted photos are cartoons."""
        return with_painted(val, self.config.painted, checkpoint_dir / "painted/val", self.params)

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Train on the pictures of train and stop by those of val, painted photos added to both."""
        place = checkpoint_dir / "painted/train"
        train = with_painted(splits["train"], self.config.painted, place, self.params)
        val = self.validation(splits["val"], checkpoint_dir)
        super().fit({**splits, "train": train, "val": val}, folder, checkpoint_dir, log)
