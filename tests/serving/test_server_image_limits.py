"""What images decode to, from their headers, as Pillow has it."""

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.server.runtime.image_limits import (
    MAX_REQUEST_PIXELS,
    encoded_size,
    gif_frames,
    refuse_bombs,
)
from serving.server.status import StatusError


def animation(frames: int, side: int = 20) -> bytes:
    file = BytesIO()
    pictures = [Image.new("L", (side, side), 255 * (n % 2)) for n in range(frames)]
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], loop=0, comment=b"c")
    return file.getvalue()


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
    gif_frames(start + rest, 10)


def test_bombs_are_named() -> None:
    bomb = bytearray(encoded("GIF"))
    bomb[6:10] = b"\xff\xff\xff\xff"
    with pytest.raises(StatusError, match="input 'x': the picture at position 1 has 65535 x 65535"):
        refuse_bombs("x", [encoded("PNG"), bytes(bomb)])


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_frames_are_counted(frames: int) -> None:
    data = animation(frames)
    assert gif_frames(data, 100) == frames
    assert gif_frames(data, 10) == min(frames, 11)
    assert refuse_bombs("x", [data, data]) == 2 * frames * 20 * 20


def test_a_chain_of_blocks_without_end_is_taken_for_a_bomb() -> None:
    assert gif_frames(animation(1)[:10] + b"\0\0\0" + b"\x21\xfe" + b"\1a" * 1_100_000, 10) == 11


def with_size(gif: bytes, width: int, height: int) -> bytes:
    return gif[:6] + struct.pack("<HH", width, height) + gif[10:]


def test_frames_and_pictures_count_together() -> None:
    with pytest.raises(StatusError, match="2000 x 2000 pixels in 33 frames or more"):
        refuse_bombs("x", [with_size(animation(400), 2000, 2000)])
    large = with_size(encoded("GIF"), 8000, 8000)
    assert refuse_bombs("x", [large, large]) == MAX_REQUEST_PIXELS
    with pytest.raises(StatusError, match="the first 3 pictures have 192000000 pixels together"):
        refuse_bombs("x", [large, large, large])
