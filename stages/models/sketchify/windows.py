"""Training examples of sketchify: windows of drawings, cut at random."""

import numpy as np

from stages.models.sketchify.config import SketchifyConfig
from stages.models.sketchify.pairs import filter_pairs, to_unit, window

VARIED = 0.1  # contrast and brightness of training windows, 0 to 1


class Windows:
    """One epoch of training: pairs of random windows, float32 [B, patch, patch, 1] each, 0 to 1.

    Windows are cut and varied first and filtered then, as many of each picture as its crop has
    room for. What is drawn at random depends on seed, epoch and number of the window alone.
    """

    def __init__(
        self, greys: list[np.ndarray], config: SketchifyConfig, seed: int, epoch: int
    ) -> None:
        self._greys = greys
        self._config = config
        self._seed = (seed, epoch)
        each = (config.image_size // config.patch) ** 2
        self._order = np.random.default_rng(self._seed).permutation(len(greys) * each)

    def __len__(self) -> int:
        return -(-len(self._order) // self._config.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        size, config = self._config.batch_size, self._config
        cut = [
            window(
                self._greys[i % len(self._greys)],
                config.image_size, config.patch, VARIED, np.random.default_rng([*self._seed, i]),
            )
            for i in self._order[index * size : (index + 1) * size]
        ]  # fmt: skip
        binaries, true = filter_pairs(cut)
        return to_unit(binaries), to_unit(true)
