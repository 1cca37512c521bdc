"""The characters that a recogniser knows, and the SavedModel that looks them up."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import expit

from celflow.errors import UserError
from celflow.files import write_json
from stages.models.graph import Classifier, decode, each_image, resize, variables

UNKNOWN = "unknown"
GALLERY_FILE = "gallery.json"
EXTRA = "assets.extra"  # TensorFlow's folder for what a SavedModel has besides


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
        encodings[name] = means(faces, np.zeros(len(faces), int))[0]
        return self._of(encodings)

    def without(self, name: str) -> "Gallery":
        """The same with one name less."""
        encodings = dict(zip(self.names, self.encodings, strict=True))
        del encodings[name]
        return self._of(encodings)

    def _of(self, encodings: dict[str, np.ndarray]) -> "Gallery":
        names = sorted(encodings)
        return replace(self, names=names, encodings=np.stack([encodings[name] for name in names]))


def means(encodings: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """float32 [C, D]: mean directions of the encodings [N, D] of each class."""
    sums = np.stack([encodings[truth == c].sum(axis=0) for c in range(truth.max() + 1)])
    return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)


class Encoder(tf.Module):
    """A Keras network, pixels [N, S, S, 3] to encodings [N, D], that a SavedModel can hold."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.state = variables(model)
        spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)
        self.encode = tf.function(lambda x: model(x, training=False), input_signature=[spec])


class Recogniser(Classifier):
    """A served classifier whose classes are a gallery, with one more signature, `embed`.

    encoder: an Encoder, or what came of one in a SavedModel: `encoder.encode` takes
    uint8 [N, side, side, 3].
    """

    def __init__(self, encoder: Any, side: int, gallery: Gallery) -> None:
        encodings = tf.constant(gallery.encodings)

        def scores(pixels: tf.Tensor) -> tf.Tensor:
            cosines = tf.matmul(encoder.encode(pixels), encodings, transpose_b=True)
            best = tf.reduce_max(cosines, axis=1, keepdims=True)
            known = tf.sigmoid(gallery.slope * (best - gallery.threshold))
            return tf.concat([known * tf.nn.softmax(gallery.sharpness * cosines), 1 - known], 1)

        super().__init__([*gallery.names, UNKNOWN], lambda image: resize(image, side), scores)
        self.encoder = encoder
        self.side = side
        self.gallery = gallery

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodings of encoded pictures, string [N]: float32 [N, D], unit length."""
        pixels = each_image(image_bytes, lambda d: self._per_image(decode(d)), "image_bytes")
        return {"embedding": self.encoder.encode(pixels)}

    def save(self, folder: Path) -> None:
        """Write the SavedModel; `Recogniser.load` can read it back, gallery and all."""
        signatures = {
            "serving_default": self.from_bytes,
            "pixels": self.from_pixels,
            "embed": self.embed,
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)
        self.gallery.write(folder / EXTRA)

    @classmethod
    def load(cls, folder: Path) -> "Recogniser":
        """What `save` wrote, with the encoder as the SavedModel holds it.

        Raises:
            UserError: the SavedModel has no gallery.
        """
        if not (folder / EXTRA / GALLERY_FILE).is_file():
            raise UserError("it holds no gallery of known characters")
        encoder = tf.saved_model.load(str(folder)).encoder
        (pixels,), _ = encoder.encode.concrete_functions[0].structured_input_signature
        return cls(encoder, pixels.shape[1], Gallery.read(folder / EXTRA))
