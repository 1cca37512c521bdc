"""What of a video is kept when it is drawn."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.cli.moving.parts import (
    EVEN,
    RATE,
    draw,
    heard,
    scene,
    shown,
    write_clip,
)

UNEVEN = [0, 100, 150, 300, 301, *range(400, 1500, 100)]


@pytest.mark.parametrize(
    ("name", "sound", "times", "becomes"),
    [
        ("a.mp4", "aac", None, "a.mp4"),
        ("b.mov", "pcm_s16le", UNEVEN, "b.mov"),
        ("c.mkv", "libopus", None, "c.mkv"),
        ("d.webm", "libopus", None, "d.webm"),
        ("e.avi", "pcm_s16le", None, "e.mkv"),
    ],
)
def test_sound_times_and_number_of_frames_are_kept(tmp_path, name, sound, times, becomes):
    clip = write_clip(tmp_path / name, times, sound)
    draw(clip, "--out", tmp_path / "drawn")
    drawn = tmp_path / "drawn" / becomes
    assert [path.name for path in drawn.parent.glob("[!.]*")] == [becomes]
    assert not list(drawn.parent.glob(".*.drawing*")) and not list(drawn.parent.glob(".*.lock"))
    (_, photos), (at, drawings) = shown(clip), shown(drawn)
    assert at == pytest.approx([one / 800 for one in times or EVEN], abs=0.0011)
    for photo, drawing in zip(photos, drawings, strict=True):
        assert np.abs((255 - photo.astype(int)) - drawing).mean() < 4
    (begin, sounds), (begin_now, sounds_now) = heard(clip), heard(drawn)
    assert sounds == sounds_now and begin == pytest.approx(begin_now, abs=0.0011)


@pytest.mark.parametrize(
    ("turn", "matrix"), [(-1, (0, 1, -1, 0)), (1, (0, -1, 1, 0)), (2, (-1, 0, 0, -1))]
)
def test_a_turned_video_stands_upright(tmp_path, turn, matrix):
    """As phones write them: a matrix in the header of the track."""
    clip = write_clip(tmp_path / "a.mp4")
    data = bytearray(clip.read_bytes())
    at = data.index(b"tkhd") + 44  # the video's is the first
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + place : at + place + 4] = (value << 16).to_bytes(4, "big", signed=True)
    clip.write_bytes(data)
    draw(clip, "--out", tmp_path / "drawn")
    (_, photos), (_, drawings) = shown(clip), shown(tmp_path / "drawn/a.mp4")
    upright = np.rot90(photos[-1], turn).astype(int)
    assert drawings[-1].shape == upright.shape
    assert np.abs(255 - upright - drawings[-1]).mean() < 4


def test_odd_sides_and_wide_pixels_are_kept_and_metadata_on_request(tmp_path):
    file = tmp_path / "a.mkv"
    with av.open(str(file), "w") as written:
        written.metadata["title"] = "made here"
        stream = written.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 33, 21, "yuv444p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for number in range(4):
            frame = scene(number)[:21, :33].copy()
            written.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        written.mux(stream.encode())
    for words, title in ([], None), (["--keep-exif", "--again"], "made here"):
        draw(file, "--out", tmp_path / "drawn", *words)
        with av.open(str(tmp_path / "drawn/a.mkv")) as drawn:
            stream = drawn.streams.video[0]
            assert (stream.width, stream.height) == (33, 21)
            assert stream.sample_aspect_ratio == Fraction(4, 3)
            assert drawn.metadata.get("title") == title
