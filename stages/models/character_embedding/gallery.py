"""The characters that a recogniser knows."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import expit

from celflow.files import write_json

GALLERY_FILE = "gallery.json"


@dataclass(frozen=True)
class Gallery:
    """The characters that are known.

    names: C of them, sorted. encodings: float32 [C, D], unit length, the mean of each one's faces.
    sharpness: of the softmax over the cosines. slope, threshold: a picture is of somebody known
    with probability sigmoid(slope * (best cosine - threshold)).
    """

    names: list[str]
    encodings: np.ndarray
    sharpness: float
    slope: float
    threshold: float

    def scores(self, encodings: np.ndarray) -> np.ndarray:
        """float32 [N, C + 1] of encodings [N, D]: a column a name, and "unknown"."""
        cosines = encodings @ self.encodings.T
        best = cosines.max(axis=1, keepdims=True)
        known = expit(self.slope * (best - self.threshold))
        shares = np.exp(self.sharpness * (cosines - best))
        shares /= shares.sum(axis=1, keepdims=True)
        return np.concatenate([known * shares, 1 - known], axis=1).astype(np.float32)

    def write(self, folder: Path) -> None:
        """Save as gallery.json in `folder`, which is made."""
        content = {**vars(self), "encodings": self.encodings.tolist()}
        write_json(folder / GALLERY_FILE, content)

    @classmethod
    def read(cls, folder: Path) -> "Gallery":
        """What `write` saved."""
        content = json.loads((folder / GALLERY_FILE).read_text(encoding="utf-8"))
        return cls(**{**content, "encodings": np.array(content["encodings"], np.float32)})

    def adding(self, name: str, faces: np.ndarray) -> "Gallery":
        """The same with one name more: the mean of the encodings [N, D] of its faces."""
        encodings = dict(zip(self.names, self.encodings, strict=True))
        encodings[name] = mean_directions(faces, np.zeros(len(faces), int))[0]
        return self._of(encodings)

    def without(self, name: str) -> "Gallery":
        """The same with one name less."""
        encodings = dict(zip(self.names, self.encodings, strict=True))
        del encodings[name]
        return self._of(encodings)

    def _of(self, encodings: dict[str, np.ndarray]) -> "Gallery":
        names = sorted(encodings)
        return replace(self, names=names, encodings=np.stack([encodings[name] for name in names]))


def mean_directions(encodings: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """float32 [C, D]: mean directions of the encodings [N, D] of each class."""
    sums = np.stack([encodings[truth == c].sum(axis=0) for c in range(truth.max() + 1)])
    return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
