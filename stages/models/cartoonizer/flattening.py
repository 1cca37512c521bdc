"""What the generator learns from: a photo in the light of a drawing, and flat.

The functions on light take arrays of NumPy and of TensorFlow alike.
"""

from typing import Any

import numpy as np
import scipy.fft

LUMINANCE = (0.299, 0.587, 0.114)
LIGHT = 0.6  # mean luminance of a drawing, from 0 to 1
GAMMA = (0.55, 1.05)  # the exponents that bring it about; a night stays a night
COLOUR = 0.8  # exponent of the factor by which colour grows with light
FLATNESS = 0.012  # lambda of the L0 smoothing: larger is flatter


def luminance(x: Any) -> Any:
    """[..., 1] of [..., 3]."""
    return sum(x[..., i : i + 1] * LUMINANCE[i] for i in range(3))


def lightened(x: Any, gamma: Any) -> Any:
    """[..., 3], 0 to 1, of the same: luminance to the power of gamma, colour nearly along."""
    before = luminance(x) + 1e-3
    after = before**gamma
    return after + (x - before) * (after / before) ** COLOUR


def gamma_of(mean: float) -> float:
    """The exponent that brings a picture of this mean luminance, 0 to 1, to that of a drawing."""
    return float(np.clip(np.log(LIGHT) / np.log(np.clip(mean, 0.05, 0.95)), *GAMMA))


def lit(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of uint8 [H, W, 3], in the light of a drawing."""
    x = pixels.astype(np.float32) / 255
    return _pixels(lightened(x, gamma_of(float(luminance(x).mean()))))


def flattened(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of uint8 [H, W, 3]: no shades and grain inside of things, edges kept.

    L0 gradient minimization (Xu et al. 2011, algorithm 1): as few pixels as may be differ from
    their neighbours.
    """
    s = pixels.astype(np.float32) / 255
    height, width = s.shape[:2]
    across = 2 - 2 * np.cos(2 * np.pi * np.arange(width // 2 + 1) / width)
    down = 2 - 2 * np.cos(2 * np.pi * np.arange(height) / height)
    differences = (down[:, None] + across)[..., None].astype(np.float32)
    whole = scipy.fft.rfft2(s, axes=(0, 1))
    beta = 2 * FLATNESS
    while beta < 1e5:
        h, v = np.roll(s, -1, axis=1) - s, np.roll(s, -1, axis=0) - s
        kept = ((h**2 + v**2).sum(axis=-1, keepdims=True) >= FLATNESS / beta).astype(np.float32)
        h, v = h * kept, v * kept
        divergence = np.roll(h, 1, axis=1) - h + np.roll(v, 1, axis=0) - v
        wanted = whole + beta * scipy.fft.rfft2(divergence, axes=(0, 1))
        s = scipy.fft.irfft2(wanted / (1 + beta * differences), (height, width), axes=(0, 1))
        beta *= 2
    return _pixels(s)


def _pixels(x: np.ndarray) -> np.ndarray:
    return (x.clip(0, 1) * 255).round().astype(np.uint8)
