"""The SavedModel of a recogniser: an encoder, and a gallery in which it looks faces up."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from celflow.errors import UserError
from celflow.metrics import UNKNOWN
from stages.models.character_embedding.gallery import GALLERY_FILE, Gallery
from stages.models.common.image_ops import decode, map_images, resize
from stages.models.common.keras_files import variables
from stages.models.common.served_classifier import ServedClassifier

EXTRA = "assets.extra"  # TensorFlow's folder for what a SavedModel has besides


class Encoder(tf.Module):
    """A Keras network, pixels [N, S, S, 3] to encodings [N, D], that a SavedModel can hold."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.state = variables(model)
        spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)
        self.encode = tf.function(lambda x: model(x, training=False), input_signature=[spec])


class Recogniser(ServedClassifier):
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
        pixels = map_images(image_bytes, lambda d: self._per_image(decode(d)), "image_bytes")
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
