"""Random variations of a training picture: shape, light, and what cameras and encoders do to it."""

import cv2
import numpy as np

from stages.models.common.config import AugmentConfig


def augment(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """uint8 [S, S, 3] of uint8 [S, S, 3], varied as `config` allows."""
    image = _moved(image, config, rng)
    image = _lit(image, config, rng)
    if rng.random() < config.blur:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < config.jpeg:
        image = _recompressed(image, int(rng.integers(40, 96)))
    if rng.random() < config.erase:
        _erase(image, rng)
    return image


def _moved(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Mirror, turn, scale and shift in one step; what comes from outside repeats the border."""
    side = image.shape[0]
    angle = 2 * np.pi * rng.uniform(-config.rotation, config.rotation)
    zoom = np.exp(rng.uniform(-config.scale, config.scale))
    stretch = np.exp(rng.uniform(-config.scale, config.scale) / 3)
    mirror = -1 if config.flip and rng.random() < 0.5 else 1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * turn @ np.diag([mirror * stretch, 1 / stretch])
    centre = np.full(2, (side - 1) / 2)
    shift = rng.uniform(-config.shift, config.shift, 2) * side
    matrix = np.column_stack([linear, centre + shift - linear @ centre])
    return cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)


def _lit(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and saturation. Never the hue: it tells characters apart."""
    contrast = 1 + rng.uniform(-config.contrast, config.contrast)
    brightness = 255 * rng.uniform(-config.brightness, config.brightness)
    saturation = 1 + rng.uniform(-config.saturation, config.saturation)
    if rng.random() < config.grey:
        saturation = 0.0
    # One linear map of the three channels: grey + saturation * (colour - grey), then the light.
    luma = np.array([0.299, 0.587, 0.114])
    colour = contrast * (saturation * np.eye(3) + (1 - saturation) * luma)
    offset = brightness + 127.5 * (1 - contrast)
    return cv2.transform(image, np.column_stack([colour, np.full(3, offset)]))


def _recompressed(image: np.ndarray, quality: int) -> np.ndarray:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def _erase(image: np.ndarray, rng: np.random.Generator) -> None:
    """Paint over a rectangle (random erasing, Zhong et al. 2020), in place."""
    side = image.shape[0]
    height, width = (rng.uniform(0.1, 0.35, 2) * side).astype(int)
    top, left = rng.integers(side - height), rng.integers(side - width)
    image[top : top + height, left : left + width] = rng.integers(0, 256, 3)
