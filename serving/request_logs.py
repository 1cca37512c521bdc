"""Read the request logs of a model server: TFRecord files of `PredictionLog`. No TensorFlow."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from google.protobuf.message import DecodeError

from serving.protos import prediction_log_pb2

if TYPE_CHECKING:
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

_HEADER = struct.Struct("<QI")  # the record's length in bytes, and a checksum of it
_CHECKSUM = 4  # bytes, behind the record


def files(prefix: Path) -> list[Path]:
    """The files of a log, the oldest first, by its `filename_prefix`; a file's own path will do."""
    if prefix.is_file():
        return [prefix]
    return sorted(prefix.parent.glob(f"{prefix.name}*"))


def read(path: Path) -> Iterator["PredictionLog"]:
    """The records of a file; it ends before one that was cut off, as the last is after a kill."""
    with path.open("rb") as file:
        while (record := _next(file)) is not None:
            try:
                yield prediction_log_pb2.PredictionLog.FromString(record)
            except DecodeError:
                return


def _next(file: BinaryIO) -> bytes | None:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length, _ = _HEADER.unpack(header)
    if length > Path(file.name).stat().st_size:
        return None
    record = file.read(length)
    return record if len(record) == length and len(file.read(_CHECKSUM)) == _CHECKSUM else None
