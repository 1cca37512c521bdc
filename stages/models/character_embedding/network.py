"""The encoder of faces: the first half of Inception-v3, and a projection on the unit sphere."""

import re
from pathlib import Path

import keras
from keras import layers

from celflow.errors import UserError
from stages.models.character_embedding.cosine_layers import UnitLength
from stages.models.common import released_weights

RELEASED = Path(__file__).parent / "released.npz"
DIMENSIONS = 256
EPSILON = 1e-3


def encoder(side: int, dropout: float) -> keras.Model:
    """Pixels [N, side, side, 3], 0 to 255, to encodings, float32 [N, 256], unit length.

    Means of the channels of two layers of Inception-v3 (Szegedy et al. 2016), mixed2 and mixed4,
    normalised, and a linear map of them.
    """
    inputs = keras.Input((side, side, 3))
    whole = keras.applications.InceptionV3(
        include_top=False, weights=None, input_tensor=layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    )
    tapped = [whole.get_layer(name).output for name in ("mixed2", "mixed4")]
    x = layers.concatenate([layers.GlobalAveragePooling2D()(places) for places in tapped])
    x = layers.BatchNormalization(epsilon=EPSILON, center=False, scale=False)(x)
    x = layers.Dense(DIMENSIONS, use_bias=False)(layers.Dropout(dropout)(x))
    return keras.Model(inputs, UnitLength()(x), name="encoder")


def load(model: keras.Model, init: str, key: str) -> None:
    """Give an encoder its first weights.

    init: "released"; "none"; the path of a file like the released one; or of one with weights of
    Inception-v3 without top (`.h5`), which fill what is Inception's.
    key: of `init` in params.yaml, for errors.

    Raises:
        UserError: there is no such file, or it is of another network.
    """
    if init.endswith(".h5"):
        _load_inception(model, init, key)
    else:
        released_weights.load(model, init, RELEASED, key)


def _load_inception(model: keras.Model, path: str, key: str) -> None:
    try:
        whole = keras.applications.InceptionV3(
            include_top=False, weights=path, input_shape=model.input_shape[1:]
        )
    except Exception as error:  # Keras raises what HDF5, the network or its own checks raise
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{key}: '{path}' gives no weights of Inception-v3: {reason}") from None
    for kind in (layers.Conv2D, layers.BatchNormalization):
        for target, source in zip(_made(model, kind), _made(whole, kind), strict=False):
            if len(target.weights) == len(source.weights):  # our own norm has fewer
                target.set_weights(source.get_weights())


def _made(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    """Layers of a kind in the order in which Keras made them, by the numbers in their names."""
    found = [layer for layer in model.layers if type(layer) is kind]
    return sorted(found, key=lambda layer: [*map(int, re.findall(r"_(\d+)$", layer.name))])
