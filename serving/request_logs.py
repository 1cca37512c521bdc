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
    yield from (record for record, _ in _records(path, 0))


class Follower:
    """Reads a log that a server is still writing, each record once."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._ends: dict[Path, int] = {}  # of what was read, in bytes

    def new(self) -> Iterator["PredictionLog"]:
        """The records that are there and were not read before."""
        for path in files(self._prefix):
            for record, end in _records(path, self._ends.get(path, 0)):
                self._ends[path] = end
                yield record


def _records(path: Path, start: int) -> Iterator[tuple["PredictionLog", int]]:
    """The records from a place in a file on, and where each ends."""
    with path.open("rb") as file:
        file.seek(start)
        while (record := _next(file)) is not None:
            try:
                yield prediction_log_pb2.PredictionLog.FromString(record), file.tell()
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
