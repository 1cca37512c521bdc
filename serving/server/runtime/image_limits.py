"""Refuses decompression bombs by the size in an image's header, before anything is decoded."""

import struct

from celflow.images import MAX_PIXELS
from serving.server.status import invalid
from serving.tensors import Array


def refuse_bombs(input_name: str, strings: Array) -> None:
    """Refuse images that would decode to more than `MAX_PIXELS` pixels.

    Args:
        input_name: of the tensor, for the message.
        strings: an object array of bytes; what is not an image passes.

    Raises:
        StatusError: INVALID_ARGUMENT with the input, the position and the size.
    """
    for position, data in enumerate(strings.flat):
        width, height = encoded_size(data)
        if width * height > MAX_PIXELS:
            raise invalid(
                f"input {input_name!r}: the picture at position {position} has {width} x {height} "
                f"pixels, more than {MAX_PIXELS}"
            )


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
