"""Damaged pictures through the doors of the pipeline and of the client: a picture or a reason."""

import os
import time
from collections.abc import Callable

import numpy as np
import pytest

from celflow import images
from celflow.images import REASONS, BadImage, open_image
from serving.client.pictures import open_picture, sendable

from .corpus import damaged, whole

FULL = bool(os.environ.get("CELFLOW_FAULTS"))
CUTS, FLIPS = (20, 100) if FULL else (4, 4)
LONGEST = 5.0  # seconds


@pytest.mark.parametrize("door", [open_image, open_picture, sendable])
def test_a_damaged_picture_is_a_picture_or_has_a_reason(door: Callable[[bytes], object]):
    crashes, slow = {}, {}
    for name, data in damaged(7, CUTS, FLIPS):
        start = time.monotonic()
        try:
            door(data)
        except BadImage as error:
            assert error.reason in REASONS, name
        except Exception as error:
            crashes[name] = repr(error)
        if (took := time.monotonic() - start) > LONGEST:
            slow[name] = took
    assert not crashes and not slow, (len(crashes), list(crashes.items())[:8], slow)


def test_every_undamaged_picture_is_taken():
    for name, data in whole().items():
        assert open_picture(data).pixels.shape[2] == 3, name


def test_what_is_damaged_beside_the_first_picture_does_not_count():
    files = whole()
    exif = files["WEBP-turned"].replace(b"II*\0", b"II(\0").replace(b"MM\0*", b"MM\0(")
    assert exif != files["WEBP-turned"]
    assert open_image(exif).repairs == ()
    frames = files["GIF-frames"]
    assert open_picture(frames[: len(frames) * 11 // 20]).format == "GIF"
    assert open_image(files["JPEG-several"]).format == "JPEG"


def test_a_picture_in_strips_is_the_same(monkeypatch):
    for name, data in whole().items():
        try:
            at_once = open_image(data)
        except BadImage:  # of a format that the pipeline does not take
            continue
        with monkeypatch.context() as patch:
            patch.setattr(images, "STRIP", 40 * 7)
            in_strips = open_image(data)
        assert in_strips.repairs == at_once.repairs, name
        assert np.array_equal(in_strips.pixels, at_once.pixels), name
