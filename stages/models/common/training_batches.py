"""One epoch of a classifier's training examples: varied at random, in batches."""

from collections.abc import Callable

import numpy as np

from stages.models.common.augment import augment
from stages.models.common.config import AugmentConfig

Relabel = Callable[[np.ndarray, int, np.random.Generator], tuple[np.ndarray, int]]


class AugmentedBatches:
    """One epoch of training: varied pixels, one-hot truth and weight, in batches.

    What is drawn at random depends on seed, epoch and picture alone.

    relabel: of pixels, class and randomness of a picture to those that are learnt instead, before
    they are varied. classes: how many there are then; as many as `truth` has unless told.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        truth: np.ndarray,
        size: int,
        config: AugmentConfig,
        seed: int,
        epoch: int,
        relabel: Relabel | None = None,
        classes: int | None = None,
    ) -> None:
        self._pixels = pixels
        self._truth = truth
        self._targets = np.eye(classes or truth.max() + 1, dtype=np.float32)
        self._weights = class_weights(truth)[truth]
        self._order = np.random.default_rng([seed, epoch]).permutation(len(truth))
        self._size = size
        self._config = config
        self._seed = (seed, epoch)
        self._relabel = relabel

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        chosen = self._order[index * self._size : (index + 1) * self._size]
        pixels, classes = zip(*(self._augmented(i) for i in chosen), strict=True)
        return np.stack(pixels), self._targets[list(classes)], self._weights[chosen]

    def _augmented(self, i: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng([*self._seed, i])
        pixels, label = self._pixels[i], self._truth[i]
        if self._relabel:
            pixels, label = self._relabel(pixels, label, rng)
        return augment(pixels, self._config, rng), label


def class_weights(truth: np.ndarray) -> np.ndarray:
    """float [C]: so that every class weighs the same, and an example 1 on average."""
    counts = np.bincount(truth)
    weights: np.ndarray = len(truth) / (len(counts) * counts)
    return weights
