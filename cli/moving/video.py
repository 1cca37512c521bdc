"""Videos, by PyAV: pictures drawn anew, sound as it is."""

import contextlib
import heapq
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from celflow.errors import UserError
from celflow.images import MAX_PIXELS
from celflow.names import shown
from cli.moving.frames import Frame

try:
    import av
except ImportError:  # an extra: its wheel has 34 MB
    av = None  # type: ignore[assignment]

SUFFIXES = ("mp4", "m4v", "mov", "mkv", "webm", "avi")
WRITTEN = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
PIECE_SECONDS = 1  # at most are drawn twice where something stops it
MOST_FRAMES = 120  # of a piece, whatever rate the file claims
ENCODERS: dict[str, dict[str, str]] = {  # hardly to be told from the drawings
    "libx264": {"crf": "18", "preset": "medium"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "5"},
}
HD = 720  # px; videos of this height that don't say have the colours of HDTV
BT709 = 1
LACKS = 0.5  # seconds that may lack at the end of a whole file
SAFE = {"format_whitelist": "mov,matroska,webm,avi,nut", "protocol_whitelist": "file"}


def suffix_of(path: Path) -> str:
    """The suffix of a video's drawing: its own, or .mkv, which holds any sound."""
    suffix = path.suffix.lower()
    return suffix if suffix in WRITTEN else ".mkv"


class Video:
    """A video file.

    keep_metadata: whether the drawing gets what the file says of itself, such as where it was made.

    Raises:
        UserError: it is no video, cut off or damaged, or too large; or PyAV is not installed.
    """

    def __init__(self, path: Path, keep_metadata: bool = False) -> None:
        if av is None:
            raise UserError("videos need PyAV: pip install -e .[video]")
        self._path, self._keep_metadata = path, keep_metadata
        self._encoder = "libvpx-vp9" if suffix_of(path) == ".webm" else "libx264"
        try:
            with _open(path) as file:
                stream = next(iter(file.streams.video), None)
                if stream is None or stream.codec_context is None:
                    raise UserError("the file has no pictures that can be read")
                if stream.width * stream.height > MAX_PIXELS:
                    size = f"{stream.width} x {stream.height}"
                    raise UserError(f"{size} is more than {MAX_PIXELS} pixels")
                self._rate = Fraction(stream.average_rate or 25)
                self._time_base = Fraction(stream.time_base)
                is_avi = file.format.name == "avi"
                self._size = {"width": stream.width, "height": stream.height}  # may change midway
                self._aspect = Fraction(stream.sample_aspect_ratio or 1)
                self.count, rotation, stored = _checked(file)
                self._times = stored if is_avi else []  # it knows no order but that of storage
        except av.FFmpegError as error:
            raise UserError(f"the file is no video, or damaged ({error.strerror})") from None
        self._turns = rotation // 90  # counterclockwise
        if self._turns % 2:
            self._aspect = 1 / self._aspect
        self.piece_frames = min(max(1, round(self._rate * PIECE_SECONDS)), MOST_FRAMES)

    def frames(self) -> Iterator[Frame]:
        """All frames, upright, in order; times in the stream's time base."""
        time = -1
        with _open(self._path) as file:
            for number, frame in enumerate(file.decode(video=0)):
                colours = _colours(frame)
                pixels = frame.to_ndarray(format="rgb24", src_colorspace=colours, **self._size)
                stamp = self._times[number] if number < len(self._times) else frame.pts
                time = stamp if not number and stamp is not None else max(stamp or 0, time + 1)
                yield Frame(np.ascontiguousarray(np.rot90(pixels, self._turns)), None, time)

    def write_piece(self, path: Path, frames: Iterator[Frame]) -> None:
        """A piece is a NUT file, which keeps times exactly; no frame waits for a later one."""
        first = next(frames)
        height, width = first.pixels.shape[:2]
        with _told(), av.open(str(path), "w", format="nut") as file:
            stream: Any = file.add_stream(
                self._encoder, rate=self._rate, options={**ENCODERS[self._encoder], "bf": "0"}
            )
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
            coder = stream.codec_context
            coder.time_base, coder.sample_aspect_ratio = self._time_base, self._aspect
            coder.colorspace = coder.color_primaries = coder.color_trc = BT709
            for frame in itertools.chain([first], frames):
                picture = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")
                picture = picture.reformat(format=stream.pix_fmt, dst_colorspace=BT709)
                picture.pts, picture.time_base = frame.time, self._time_base
                file.mux(stream.encode(picture))
            file.mux(stream.encode())

    def join(self, pieces: list[Path], path: Path) -> None:
        """The pieces, and the packets of sound as they are, in the order of their times."""
        form = WRITTEN[suffix_of(self._path)]
        with (
            _told(),
            _open(pieces[0]) as first,
            _open(self._path) as source,
            av.open(str(path), "w", format=form) as file,
        ):
            if self._keep_metadata:
                file.metadata.update(source.metadata)
            pictures = file.add_stream_from_template(first.streams.video[0])
            sounds = {}
            known = [one for one in source.streams.audio if one.codec_context is not None]
            for stream in known:
                sounds[stream.index] = file.add_stream_from_template(stream)
                sounds[stream.index].metadata.update(stream.metadata)
            drawn = ((packet, pictures) for piece in pieces for packet in _packets(piece))
            heard = (
                (packet, sounds[packet.stream.index])
                for packet in (_stored(source.demux(*known)) if sounds else ())
            )
            missing = self.count
            for packet, stream in heapq.merge(drawn, heard, key=lambda one: _seconds(one[0])):
                packet.stream = stream
                missing -= stream is pictures
                file.mux(packet)
        if missing:
            raise UserError(
                f"{missing} of {self.count} frames are missing; delete {shown(pieces[0].parent)}"
            )


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What PyAV can't write ends as one line."""
    try:
        yield
    except av.FFmpegError as error:
        raise UserError(f"the drawing can't be written: {error.strerror}") from None


def _open(path: Path) -> Any:
    """A file to read: a video's own formats alone, not lists of other files or addresses."""
    return av.open(str(path), options=SAFE, metadata_errors="replace")


def _checked(file: Any) -> tuple[int, int, list[int]]:
    """The number of frames, their rotation, and the times that they are stored by.

    All of the file is decoded: that takes next to nothing beside drawing, and what is damaged is
    told before.

    Raises:
        UserError: it is cut off, or has no frame.
    """
    count, rotation, end, stored = 0, 0, 0.0, []
    stream = file.streams.video[0]
    for packet in file.demux():
        if packet.is_corrupt:
            raise UserError("the file is cut off or damaged")
        if packet.dts is not None:
            end = max(end, _seconds(packet) + float((packet.duration or 0) * packet.time_base))
        if packet.stream.index == stream.index:
            if packet.size and packet.dts is not None:
                stored.append(packet.dts)
            for frame in packet.decode():
                rotation = frame.rotation if count == 0 else rotation
                count += 1
    if file.duration is not None:
        declared = ((file.start_time or 0) + file.duration) / av.time_base
        if declared - end > LACKS:
            raise UserError(f"the file is cut off after {end:.1f} of {declared:.1f} seconds")
    if not count:
        raise UserError("the file has no pictures that can be read")
    return count, rotation, stored


def _packets(piece: Path) -> Iterator[Any]:
    with _open(piece) as file:
        yield from _stored(file.demux(video=0))


def _stored(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets without the empty one at the end; each with the time that it is stored by."""
    for packet in packets:
        if packet.size:
            if packet.dts is None:
                packet.dts = packet.pts
            yield packet


def _seconds(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


def _colours(frame: Any) -> int:
    """The matrix that a frame's colours were made by."""
    unspecified = 2
    if frame.colorspace != unspecified:
        return int(frame.colorspace)
    return BT709 if frame.height >= HD else int(frame.colorspace)
