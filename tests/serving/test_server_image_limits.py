"""Sizes of images from their headers, as Pillow has them."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.server.runtime.image_limits import encoded_size, refuse_bombs
from serving.server.status import StatusError


def encoded(kind: str, **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (37, 21)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        encoded("PNG"),
        encoded("GIF"),
        encoded("BMP"),
        encoded("JPEG"),
        encoded("JPEG", progressive=True, comment=b"\xff\xc0" * 99, exif=b"Exif\0\0" + bytes(50)),
    ],
)
def test_encoded_size(data: bytes) -> None:
    assert encoded_size(data) == (37, 21)
    for end in range(0, len(data), 7):
        assert encoded_size(data[:end]) in ((0, 0), (37, 21))


@settings(max_examples=200)
@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM"]), st.binary())
def test_rubbish(start: bytes, rest: bytes) -> None:
    encoded_size(start + rest)


def test_bombs_are_named() -> None:
    bomb = bytearray(encoded("GIF"))
    bomb[6:10] = b"\xff\xff\xff\xff"
    with pytest.raises(StatusError, match="input 'x': the picture at position 1 has 65535 x 65535"):
        refuse_bombs("x", np.array([[encoded("PNG"), bytes(bomb)]], object))
