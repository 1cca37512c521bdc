"""The page shows what the cartoonizer is trained by, though it can't import that code."""

import numpy as np
import pytest

from dashboard import representations as shown
from stages.models.cartoonizer import representations as trained
from stages.models.cartoonizer import superpixels


@pytest.fixture
def drawing() -> np.ndarray:
    """Two flat areas with a soft shade and grain, uint8 [96, 128, 3]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    pixels = np.where((x > 60)[..., None], (200, 120, 80), (60, 90, 180)) + (y / 4)[..., None]
    return (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)


def test_surface_and_texture_are_those_of_training(drawing):
    for name in ("surface", "texture"):
        ours, theirs = getattr(shown, name)(drawing), getattr(trained, name)(drawing)
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_structure_has_the_regions_of_training(drawing):
    regions = superpixels.regions(drawing, "slic")
    ours = shown.structure(drawing)
    assert ours.shape == drawing.shape
    # flat inside of each region
    assert all(len(np.unique(ours[regions == r], axis=0)) == 1 for r in np.unique(regions))
