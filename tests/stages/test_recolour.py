"""Faces in other colours."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.models.character_embedding.recolour import TURNS, recoloured

SKIN, HAIR = (250, 220, 205), (60, 90, 200)


@given(st.integers(8, 64), st.integers(8, 64), st.integers(0, TURNS - 1), st.integers(0, 99))
def test_size_and_type_stay(height, width, turn, seed):
    face = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    kept = face.copy()
    turned = recoloured(face, turn)
    assert turned.shape == face.shape and turned.dtype == np.uint8
    assert np.array_equal(face, kept)
    if turn == 0:  # but for what OpenCV's eight bits of hue round away
        assert np.abs(turned.astype(int) - face).max() <= 8


def test_skin_stays_and_hair_is_turned():
    face = np.zeros((32, 64, 3), np.uint8)
    face[:, :32], face[:, 32:] = SKIN, HAIR
    turned = [recoloured(face, turn) for turn in range(TURNS)]
    hues = [int(cv2.cvtColor(one, cv2.COLOR_RGB2HSV)[16, 56, 0]) for one in turned]
    assert [(hue - hues[0]) % 180 for hue in hues] == [0, 45, 90, 135]
    assert all(np.abs(one[16, 8].astype(int) - SKIN).max() <= 2 for one in turned)


def test_black_white_and_grey_have_no_hue_to_turn():
    face = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    for turn in range(TURNS):
        assert np.array_equal(recoloured(face, turn), face)
