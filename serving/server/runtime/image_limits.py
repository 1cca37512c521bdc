"""Refuses decompression bombs by what the headers of images say, before anything is decoded."""

import struct
from collections.abc import Iterable

from celflow.images import MAX_PIXELS
from serving.server.status import invalid

MAX_REQUEST_PIXELS = 2 * MAX_PIXELS
"""Pixels of all images, with all frames of animations, in one input of a request."""

_MAX_GIF_BLOCKS = 1_000_000


def refuse_bombs(input_name: str, strings: Iterable[bytes]) -> int:
    """Refuse images that would decode to too many pixels, and count those of the others.

    Args:
        input_name: of the tensor, for the message.
        strings: what is not an image passes.

    Raises:
        StatusError: INVALID_ARGUMENT with the input, the position and the size.
    """
    total = 0
    for position, data in enumerate(strings):
        width, height = encoded_size(data)
        pixels = width * height
        what = f"input {input_name!r}: the picture at position {position} has {width} x {height}"
        if pixels > MAX_PIXELS:
            raise invalid(f"{what} pixels, more than {MAX_PIXELS}")
        if data[:4] == b"GIF8" and pixels:
            frames = gif_frames(data, MAX_REQUEST_PIXELS // pixels)
            pixels *= frames
            if pixels > MAX_REQUEST_PIXELS:
                what += f" pixels in {frames} frames or more"
                raise invalid(f"{what}, more than {MAX_REQUEST_PIXELS} together")
        total += pixels
        if total > MAX_REQUEST_PIXELS:
            raise invalid(
                f"input {input_name!r}: the first {position + 1} pictures have {total} pixels "
                f"together, more than {MAX_REQUEST_PIXELS}"
            )
    return total


def gif_frames(data: bytes, enough: int) -> int:
    """The number of frames of a GIF, which TensorFlow decodes all; counted to `enough` + 1.

    See the GIF89a specification: blocks, each a header and a chain of sub-blocks.
    """
    offset = 13 + _colour_table_size(data[10:11])
    frames = 0
    blocks = 0
    while offset < len(data) and frames <= enough:
        if data[offset] == 0x2C:  # an image
            frames += 1
            offset += 11 + _colour_table_size(data[offset + 9 : offset + 10])
        elif data[offset] == 0x21:  # an extension
            offset += 2
        else:  # the end, or rubbish
            break
        while offset < len(data) and data[offset]:
            offset += 1 + data[offset]
            blocks += 1
            if blocks > _MAX_GIF_BLOCKS:
                return enough + 1
        offset += 1
    return frames


def _colour_table_size(flags: bytes) -> int:
    """Bytes of the colour table that such flags announce."""
    return 3 << (1 + (flags[0] & 7)) if flags and flags[0] & 0x80 else 0


def encoded_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of a PNG, JPEG, GIF or BMP; (0, 0) for anything else."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg_size(data)
    if data[:4] == b"GIF8" and len(data) >= 10:
        width, height = struct.unpack("<HH", data[6:10])
        return width, height
    if data[:2] == b"BM" and len(data) >= 26:
        width, height = struct.unpack("<ii", data[18:26])
        return abs(width), abs(height)  # a negative height: rows from the top
    return 0, 0


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """The size in the first frame header (ITU T.81, B.2.2: SOF0 to SOF15 but for DHT, JPG, DAC)."""
    offset = 2
    while offset + 9 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[offset + 5 : offset + 9])
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            offset += 2
        else:
            offset += 2 + struct.unpack(">H", data[offset + 2 : offset + 4])[0]
    return 0, 0
