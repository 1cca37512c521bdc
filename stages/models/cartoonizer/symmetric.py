"""Convolutions that turn with the picture (Cohen and Welling 2016, group p4m).

A picture mirrored or turned by quarters gives the same features, mirrored or turned: not learnt,
but so by construction. A feature has eight maps, one for each of these ways to look at it.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

WAYS = [(turns, mirrored) for mirrored in (False, True) for turns in range(4)]  # of looking at it


def seen(array: np.ndarray, way: tuple[int, bool]) -> np.ndarray:
    """[H, W, ...], mirrored or not, then turned so many quarters."""
    turns, mirrored = way
    return np.rot90(array[:, ::-1] if mirrored else array, turns)


def _table() -> np.ndarray:
    """int [8, 8]: g, h to the number of g^-1 h."""
    probe = np.arange(9).reshape(3, 3)
    number = {seen(probe, way).tobytes(): i for i, way in enumerate(WAYS)}
    product = np.array([[number[seen(seen(probe, b), a).tobytes()] for b in WAYS] for a in WAYS])
    inverse = product.argmin(axis=1)  # 0 is the way things are
    return product[inverse]


TABLE = _table()


@keras.saving.register_keras_serializable("celflow")
class SymmetricConv(layers.Layer):
    """A convolution, stride 1, edges padded with zeros, float32 [N, H, W, C].

    Args:
        features: of the output, eight maps each.
        size: of the kernel, odd.
        place: `first` takes a picture's channels, `inner` takes eight maps a feature, `last` too,
            and gives `features` channels of a picture.
        zero: start with a kernel of zeros.
    """

    def __init__(
        self, features: int, size: int = 3, place: str = "inner", zero: bool = False, **rest: Any
    ) -> None:
        super().__init__(**rest)
        self.features, self.size, self.place, self.zero = features, size, place, zero

    def get_config(self) -> dict[str, Any]:
        """As the constructor has it."""
        mine = {name: getattr(self, name) for name in ("features", "size", "place", "zero")}
        return {**super().get_config(), **mine}

    def build(self, shape: tuple[int | None, ...]) -> None:
        """One kernel for the eight ways."""
        channels = shape[-1] or 0
        maps = 1 if self.place == "first" else 8
        fan_in = self.size**2 * channels
        self.kernel = self.add_weight(
            shape=(self.size, self.size, maps, channels // maps, self.features),
            initializer="zeros"
            if self.zero
            else keras.initializers.RandomNormal(stddev=(2 / fan_in) ** 0.5, seed=fan_in),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.features,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        """[N, H, W, 8 features], or [N, H, W, features] of the last."""
        maps, inside = self.kernel.shape[2:4]
        flat = ops.reshape(self.kernel, (self.size**2 * maps, inside, self.features))
        places = np.arange(self.size**2).reshape(self.size, self.size)
        ways = []  # of each: which entry of the kernel stands where, [size, size, maps]
        for g, way in enumerate(WAYS):
            source = np.zeros(1, int) if maps == 1 else TABLE[g]
            ways.append(seen(places, way)[..., None] * maps + source)
        whole = ops.take(flat, np.stack(ways), axis=0)  # [8, size, size, maps, inside, features]
        bias = self.bias
        if self.place == "last":
            # Each map by its own way, as the mean of all: the picture has one.
            own = [whole[g, :, :, int(np.flatnonzero(TABLE[g] == 0)[0])] for g in range(8)]
            kernel = ops.stack(own, axis=2) / 8
            kernel = ops.reshape(kernel, (self.size, self.size, 8 * inside, self.features))
        else:
            kernel = ops.transpose(whole, (1, 2, 3, 4, 0, 5))
            kernel = ops.reshape(kernel, (self.size, self.size, maps * inside, 8 * self.features))
            bias = ops.tile(bias, 8)
        return ops.conv(x, kernel, padding="same") + bias

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """As wide and high."""
        return *shape[:3], self.features * (1 if self.place == "last" else 8)
