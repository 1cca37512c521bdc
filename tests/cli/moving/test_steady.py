"""Drawings of successive frames flicker less, and nothing of what is gone shines through."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from cli.draw_command import STEADY
from cli.moving.steady import Steady, warp

SHAPE = (64, 96)


def ground(seed: int) -> np.ndarray:
    """A smooth pattern, larger than a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (20, 40, 3), dtype=np.uint8)
    return cv2.resize(coarse, (320, 160), interpolation=cv2.INTER_CUBIC)


def flickering(photos: list[np.ndarray]) -> list[np.ndarray]:
    """A model of which each frame comes out a little lighter or darker than it should."""
    rng = np.random.default_rng(7)
    changes = rng.normal(0, 8, (len(photos), *SHAPE, 1)).astype(np.float32)
    changes = [cv2.GaussianBlur(change, (0, 0), 2)[..., None] * 4 for change in changes]
    drawn = [np.clip(255.0 - photo + c, 0, 255) for photo, c in zip(photos, changes, strict=True)]
    return [one.astype(np.uint8) for one in drawn]


def panned(seed: int, count: int = 10) -> list[np.ndarray]:
    """Frames that each see what the one before saw 2 px further left."""
    return [ground(seed)[40:104, 30 + 2 * n : 126 + 2 * n].copy() for n in range(count)]


def error(pictures: list[np.ndarray]) -> float:
    found = [cv2.absdiff(a[:, 2:], b[:, :-2]).mean() for a, b in pairwise(pictures)]
    return float(np.mean(found))


def test_half_of_the_flicker_is_gone_and_the_drawing_is_the_same():
    photos = panned(0)
    plain, steady = flickering(photos), Steady(STEADY)
    blended = [steady(*pair) for pair in zip(photos, plain, strict=True)]
    assert error(blended) < error(plain) / 2
    truth = 255 - photos[-1].astype(int)
    assert np.abs(blended[-1] - truth).mean() < np.abs(plain[-1] - truth).mean()


def test_with_0_each_frame_is_by_itself():
    photos = panned(0, 3)
    plain, steady = flickering(photos), Steady(0)
    for pair in zip(photos, plain, strict=True):
        assert np.array_equal(steady(*pair), pair[1])


def test_after_a_cut_nothing_is_left_of_the_scene_before():
    steady = Steady(STEADY)
    for photo in panned(0, 3):
        steady(photo, 255 - photo)
    for photo in panned(1, 1):
        assert np.array_equal(steady(photo, 255 - photo), 255 - photo)


def test_no_ghost_of_a_thing_that_moved_away():
    """A bright square jumps over a ground that stands still."""
    steady, drawn = Steady(STEADY), []
    for left in (8, 28, 48):
        photo = ground(2)[40:104, 30:126].copy()
        photo[20:44, left : left + 24] = (250, 250, 20)
        drawn.append((photo, steady(photo, 255 - photo)))
    photo, drawing = drawn[-1]
    assert np.abs((255 - photo.astype(int)) - drawing).mean() < 2
    bared = np.abs((255 - photo.astype(int)) - drawing)[22:42, 28:46]
    assert bared.mean() < 6


def test_started_in_the_midst_it_goes_on_the_same():
    photos = panned(3, 6)
    plain, whole = flickering(photos), Steady(STEADY)
    blended = [whole(*pair) for pair in zip(photos, plain, strict=True)]
    rest = Steady(STEADY)
    rest.start(photos[3], blended[3])
    for number in (4, 5):
        assert np.array_equal(rest(photos[number], plain[number]), blended[number])


@pytest.mark.parametrize("shape", [(8, 8), (9, 300), (300, 8), (1, 1), (8, 4000), (700, 900)])
def test_any_size(shape):
    steady = Steady(STEADY)
    for level in (50, 60, 61):
        photo = np.full((*shape, 3), level, np.uint8)
        assert steady(photo, photo).shape == photo.shape


def test_warp_takes_each_pixel_from_where_it_was():
    pixels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    motion = np.zeros((4, 5, 2), np.float32)
    motion[..., 0] = 1
    assert warp(pixels, motion, cv2.INTER_LINEAR)[0].tolist() == [1, 2, 3, 4, 4]
