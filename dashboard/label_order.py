"""Which face to label next: one that stands for many, and unlike those that are labelled."""

import numpy as np

_SHARPNESS = 8.0  # from a cosine to a weight: neighbours count, others hardly


class LabelOrder:
    """Faces in the order in which their labels help most.

    A face is worth the faces around it that no label explains yet (a greedy cover of the faces by
    their encodings, as in Sener & Savarese, ICLR 2018, with soft edges), times how unsure the model
    is of it.

    encodings: float32 [N, D], unit length.
    uncertainty: float [N], 0 (sure) to 1.
    """

    def __init__(self, encodings: np.ndarray, uncertainty: np.ndarray) -> None:
        self._weights = np.exp(_SHARPNESS * (encodings @ encodings.T - 1))
        self._uncertainty = 0.25 + 0.75 * np.asarray(uncertainty, float)
        self._covered = np.zeros(len(encodings))
        self._open = np.ones(len(encodings), bool)

    def next(self) -> int | None:
        """The number of the most useful face, or None where all are done."""
        if not self._open.any():
            return None
        gain = np.maximum(self._weights - self._covered[None, :], 0).sum(axis=1)
        gain = gain * self._uncertainty
        gain[~self._open] = -1
        return int(gain.argmax())

    def done(self, number: int, says_something: bool = True) -> None:
        """A face was labelled; skipped ones and what is no face explain nothing."""
        self._open[number] = False
        if says_something:
            self._covered = np.maximum(self._covered, self._weights[number])
