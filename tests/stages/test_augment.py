"""Random variations of training pictures."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.models.common.augment import augment
from stages.models.common.config import AugmentConfig

ALL = AugmentConfig(
    flip=True, rotation=0.1, scale=0.3, shift=0.2, brightness=0.2, contrast=0.3, saturation=0.5,
    grey=0.3, blur=0.5, jpeg=0.5, erase=0.5,
)  # fmt: skip


def picture(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@given(st.integers(16, 80), st.integers(0, 2**32 - 1))
def test_size_and_type_stay_and_the_seed_decides(side, seed):
    image = picture(side, seed % 7)
    kept = image.copy()
    first, second = (augment(image, ALL, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == image.shape and first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert np.array_equal(image, kept)


@given(st.integers(16, 80), st.integers(0, 2**32 - 1))
def test_nothing_named_changes_nothing(side, seed):
    image = picture(side, 1)
    assert np.array_equal(augment(image, AugmentConfig(), np.random.default_rng(seed)), image)


def test_flip_is_the_mirror_image_or_nothing():
    image = picture(33, 2)
    config = AugmentConfig(flip=True)
    rngs = [np.random.default_rng(seed) for seed in range(20)]
    seen = {augment(image, config, rng).tobytes() for rng in rngs}
    assert seen == {image.tobytes(), np.ascontiguousarray(image[:, ::-1]).tobytes()}


def test_grey_has_no_colour_left():
    varied = augment(picture(32, 3), AugmentConfig(grey=1.0), np.random.default_rng(0)).astype(int)
    assert (varied.max(axis=2) - varied.min(axis=2)).max() <= 1


def test_hue_is_never_turned():
    """What is red stays red: hair and eyes tell characters apart."""
    red = np.zeros((32, 32, 3), np.uint8)
    red[...] = 200, 40, 40
    config = AugmentConfig(brightness=0.1, contrast=0.2, saturation=0.5)
    for seed in range(20):
        r, g, b = augment(red, config, np.random.default_rng(seed)).reshape(-1, 3).mean(axis=0)
        assert r > g and abs(g - b) <= 1
