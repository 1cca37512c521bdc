"""What is no video, or damaged, ends in one line before anything is drawn."""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celflow.errors import UserError
from cli.moving import video
from tests.cli.moving.parts import Inverter, draw


def rubbish(clip: Path) -> dict[str, bytes]:
    whole = clip.read_bytes()
    return {
        "empty.mp4": b"", "noise.mov": bytes(range(256)) * 20, "text.avi": b"no video\n" * 99,
        "list.mp4": f"#EXTM3U\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n".encode(),
        "cut.mp4": whole[: len(whole) // 2],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["empty.mp4", "noise.mov", "text.avi", "list.mp4", "cut.mp4"])
def test_rubbish_is_one_line(tmp_path, clip, name):
    file = tmp_path / name
    file.write_bytes(rubbish(clip)[name])
    told = draw(file, "--out", tmp_path / "drawn", expect=1).strip()
    assert name in told and "Traceback" not in told and Inverter.asked == 0


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), "fltp", "mono")
        samples.sample_rate = 48000
        file.mux(stream.encode(samples))
        file.mux(stream.encode())
    assert "has no pictures" in draw(tmp_path / "a.mp4", "--out", tmp_path / "drawn", expect=1)


@pytest.mark.parametrize("faststart", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_video_is_told_before_anything_is_drawn(tmp_path, clip, suffix, faststart):
    """Also where the header is whole, and only frames lack."""
    whole = tmp_path / f"whole{suffix}"
    with av.open(str(clip)) as source:
        options = {"movflags": "faststart"} if faststart and suffix == ".mp4" else {}
        with av.open(str(whole), "w", options=options) as copy:
            stream = copy.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    copy.mux(packet)
    file = tmp_path / f"cut{suffix}"
    file.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    told = draw(file, "--out", tmp_path / "drawn", expect=1)
    assert "cut off" in told or "damaged" in told
    assert Inverter.asked == 0


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_whatever_is_damaged_is_told_or_read(clip, data):
    content = bytearray(clip.read_bytes())
    places = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=12)):
        content[place] = data.draw(st.integers(0, 255))
    file = clip.with_name("damaged.mp4")
    file.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        moving = video.Video(file)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert sum(1 for _ in moving.frames()) == moving.count > 0


def test_without_pyav_it_says_what_to_install(tmp_path, clip, monkeypatch):
    monkeypatch.setattr(video, "av", None)
    told = draw(clip, "--out", tmp_path, expect=1)
    assert "pip install -e .[video]" in told.replace("\n", " ")
