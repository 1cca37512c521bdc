"""Surface, structure and texture of a picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from stages.models.cartoonizer import representations, superpixels

PHOTO = astronaut()[100:196, 180:308]


def brute_force(guide: np.ndarray, x: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """He et al. 2010, eq. 5, 6 and 8, as they stand: a window after the other."""
    height, width = guide.shape

    def windows(array: np.ndarray) -> np.ndarray:
        result = np.empty((height, width), object)
        for i, j in np.ndindex(height, width):
            top, left = max(0, i - radius), max(0, j - radius)
            result[i, j] = array[top : i + radius + 1, left : j + radius + 1]
        return result

    guides, xs = windows(guide), windows(x)
    slope, offset = np.empty_like(guide), np.empty_like(guide)
    for at in np.ndindex(height, width):
        g, p = guides[at], xs[at]
        slope[at] = ((g * p).mean() - g.mean() * p.mean()) / (g.var() + epsilon)
        offset[at] = p.mean() - slope[at] * g.mean()
    slopes, offsets = windows(slope), windows(offset)
    answer = np.empty_like(guide)
    for at in np.ndindex(height, width):
        answer[at] = slopes[at].mean() * guide[at] + offsets[at].mean()
    return answer


@pytest.mark.parametrize(("radius", "epsilon"), [(1, 5e-3), (5, 0.2)])
def test_the_guided_filter_is_that_of_the_paper(radius, epsilon):
    rng = np.random.default_rng(0)
    guide, x = rng.uniform(-1, 1, (2, 17, 23))
    box = representations.box(radius)
    ours = representations.guided_filter(guide[..., None], x[..., None], box, epsilon)[..., 0]
    assert np.abs(ours - brute_force(guide, x, radius, epsilon)).max() < 1e-4


def test_the_surface_has_less_detail_and_the_same_light():
    flat = representations.surface(PHOTO)
    before, after = (np.abs(np.diff(p.astype(int), axis=1)).mean() for p in (PHOTO, flat))
    assert after < 0.8 * before
    assert abs(flat.mean() - PHOTO.mean()) < 2


def test_the_texture_of_luminance_is_grey():
    grey = representations.texture(PHOTO)
    wanted = 0.299 * PHOTO[..., 0] + 0.587 * PHOTO[..., 1] + 0.114 * PHOTO[..., 2]
    assert np.abs(0.2 * wanted + 0.8 * wanted - grey).max() < 1.1


@pytest.mark.parametrize("method", ["felzenszwalb", "slic"])
def test_the_structure_is_flat_in_at_most_200_regions(method):
    labels = superpixels.regions(PHOTO, method)
    drawn = superpixels.structure(PHOTO, method)
    share = labels.size / 256**2
    assert 10 < len(np.unique(labels)) <= 1.2 * share * superpixels.REGIONS
    for number in np.unique(labels):
        assert len(np.unique(drawn[labels == number].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([100, 100, 100, 120], 105),  # of little spread: the mean
        ([60, 60, 60, 140], (80 + 60) / 2),  # between: half and half
        ([0, 0, 0, 200], 0),  # of much: the median
    ],
)
def test_a_region_takes_a_colour_by_its_spread(values, wanted):
    pixels = np.array(values, np.uint8).reshape(2, 2, 1).repeat(3, axis=-1)
    drawn = superpixels.colour(pixels, np.zeros((2, 2), int))
    assert (drawn == round(255 * (wanted / 255) ** 1.2)).all()


def test_the_likest_neighbours_are_merged_first():
    labels = np.arange(4).repeat(8).reshape(4, 8)
    pixels = np.array([10, 12, 200, 202], np.uint8).repeat(8).reshape(4, 8, 1).repeat(3, axis=-1)
    merged = superpixels.merge(pixels, labels, 2)
    assert (merged[0] == merged[1]).all() and (merged[2] == merged[3]).all()
    assert len(np.unique(merged)) == 2


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_any_size_goes_through(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for method in ("felzenszwalb", "slic"):
        shown = representations.strip(pixels, pixels, method)
        assert shown.shape == (height, 5 * width, 3) and shown.dtype == np.uint8
