"""Moving pictures through `celflow draw`: small ones, made here, and a model that is not there."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from typer.testing import CliRunner

from celflow.errors import UserError
from celflow.images import encode_png, open_image
from cli import main
from cli.drawn_files import DrawnFiles
from cli.moving import video
from cli.moving.work import alone
from serving.client import BadInput, Prediction, ServerDown

ROOT = Path(__file__).parents[2]
FRAMES, SIDE, RATE = 16, 64, 8
runner = CliRunner()


class Inverter:
    """A model server whose drawing is the negative; it can fail after some frames."""

    asked, fails_after = 0, 10**9

    def __init__(self, address: str, **options: float) -> None:
        pass

    def __enter__(self) -> "Inverter":
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def draw(self, model, image, version, **styles):
        Inverter.asked += 1
        if Inverter.asked > Inverter.fails_after:
            raise ServerDown("no server", "UNAVAILABLE")
        if model == "none":
            raise BadInput("it draws nothing", "INVALID_ARGUMENT")
        png = encode_png(255 - open_image(image).pixels)
        return Prediction(model, 3, {"image_png": np.array([png], object)}, 1.0)


@pytest.fixture(autouse=True)
def server(monkeypatch):
    monkeypatch.setattr("serving.client.Client", Inverter)
    monkeypatch.setattr(Inverter, "asked", 0)
    monkeypatch.setattr(Inverter, "fails_after", 10**9)
    monkeypatch.chdir(ROOT)


def scene(number: int) -> np.ndarray:
    """A dark field, a bright square that walks to the right, and a red bar below."""
    frame = np.full((SIDE, SIDE + 16, 3), 60, np.uint8)
    frame[10:26, 4 + 2 * number : 20 + 2 * number] = 220
    frame[48:60, 8:40] = (200, 30, 30)
    return frame


def write_clip(path: Path, times: list[int] | None = None, sound: str = "aac") -> Path:
    """A clip of the scene with sound; times in units of 1/800 s."""
    with av.open(str(path), "w") as file:
        codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
        stream = file.add_stream(codec, rate=RATE, options={"crf": "10", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = SIDE + 16, SIDE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 800)
        heard = file.add_stream(sound, rate=48000, layout="mono")
        for number, at in enumerate(times or EVEN):
            frame = av.VideoFrame.from_ndarray(scene(number), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 800)
            file.mux(stream.encode(frame))
        tone = np.sin(np.arange(2 * 48000) / 20)[None].astype(np.float32) / 4
        for begin in range(0, tone.shape[1], 960):
            form = {"aac": "fltp", "libopus": "flt", "pcm_s16le": "s16"}[sound]
            part = tone[:, begin : begin + 960]
            part = (part * 32767).astype(np.int16) if form == "s16" else part
            samples = av.AudioFrame.from_ndarray(part, format=form, layout="mono")
            samples.sample_rate, samples.pts = 48000, begin
            file.mux(heard.encode(samples))
        file.mux(stream.encode())
        file.mux(heard.encode())
    return path


def shown(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        return [frame.time for frame in frames], [f.to_ndarray(format="rgb24") for f in frames]


def heard(path: Path) -> tuple[float, bytes]:
    """When the sound begins, and its packets' bytes as they are."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(audio=0) if packet.dts is not None]
        return float(packets[0].pts * packets[0].time_base), b"".join(map(bytes, packets))


def draw(*words: object, expect: int = 0) -> str:
    done = runner.invoke(main.app, ["draw", "cartoonizer", *map(str, words)])
    assert done.exit_code == expect, done.output
    return done.output


EVEN = [100 * number for number in range(FRAMES)]
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


def test_frames_of_a_gif_that_are_drawn_alike_keep_their_time(tmp_path):
    frames = [Image.fromarray(scene(number)) for number in (0, 1, 1, 2)]
    for frame in frames[2:3]:
        frame.putpixel((0, 0), (61, 60, 60))  # else Pillow would join them here
    file = tmp_path / "a.gif"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=[40, 50, 60, 70])
    draw(file, "--out", tmp_path / "drawn")
    with Image.open(tmp_path / "drawn/a.gif") as drawn:
        assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(drawn)) == 220
        assert "loop" not in drawn.info


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(video, "PIECE_SECONDS", 0.5)  # of 4 frames


def test_stopped_and_gone_on_gives_the_same_file(tmp_path, clip, small_pieces, monkeypatch):
    draw(clip, "--out", tmp_path / "whole")
    assert len(shown(tmp_path / "whole/clip.mp4")[0]) == FRAMES
    whole = (tmp_path / "whole/clip.mp4").read_bytes()
    for fails_after in (7, 10):
        monkeypatch.setattr(Inverter, "fails_after", Inverter.asked + fails_after)
        draw(clip, "--out", tmp_path / "drawn", expect=1)
        assert not (tmp_path / "drawn/clip.mp4").exists()
    work = tmp_path / "drawn/.clip.mp4.drawing"
    (work / "next").write_bytes(b"half a piece")
    assert len(list(work.glob("*.piece"))) == 3 and len(list(work.glob("*.png"))) == 1
    monkeypatch.setattr(Inverter, "fails_after", 10**9)
    asked = Inverter.asked
    draw(clip, "--out", tmp_path / "drawn")
    assert Inverter.asked - asked == 1 + 4  # the version is asked for, and what lacked
    assert (tmp_path / "drawn/clip.mp4").read_bytes() == whole
    assert "1 were drawn before" in draw(clip, "--out", tmp_path / "drawn")
    draw(clip, "--out", tmp_path / "drawn", "--steady", 0)
    assert Inverter.asked - asked == 5 + 17


def test_killed_it_goes_on(tmp_path, clip):
    """`kill -9` in the midst of a frame; the next command takes nothing from what is half done."""
    draw(clip, "--out", tmp_path / "whole")
    words = ["draw", "cartoonizer", str(clip), "--out", str(tmp_path / "drawn")]
    code = """
import sys, time
import serving.client
from cli.drawn_files import DrawnFiles
from cli.moving import video
from cli.moving.work import alone
from tests.cli.test_moving import Inverter
class Slow(Inverter):
    def draw(self, *arguments, **styles):
        if Inverter.asked == 11:
            print("in the midst", flush=True)
            time.sleep(60)
        return super().draw(*arguments, **styles)
serving.client.Client = Slow
video.PIECE_SECONDS = 0.5
import cli.main
cli.main.main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert process.stdout is not None and "in the midst" in process.stdout.readline()
        process.kill()
    assert list((tmp_path / "drawn/.clip.mp4.drawing").glob("*.piece"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "PIECE_SECONDS", 0.5)
        draw(clip, "--out", tmp_path / "drawn")
        asked = Inverter.asked
        draw(clip, "--out", tmp_path / "whole", "--again")
    assert Inverter.asked - asked == 17 and asked < 17 + 17
    drawn, whole = (tmp_path / folder / "clip.mp4" for folder in ("drawn", "whole"))
    assert drawn.read_bytes() == whole.read_bytes()


def test_what_is_of_another_version_or_option_is_drawn_anew(
    tmp_path, clip, small_pieces, monkeypatch
):
    monkeypatch.setattr(Inverter, "fails_after", 12)
    draw(clip, "--out", tmp_path, "--strength", 0.5, expect=1)
    assert list((tmp_path / ".clip.mp4.drawing").glob("*.piece"))
    monkeypatch.setattr(Inverter, "fails_after", 10**9)
    asked = Inverter.asked
    draw(clip, "--out", tmp_path)
    assert Inverter.asked - asked == 17


def test_no_file_of_the_user_is_overwritten(tmp_path, clip):
    mine = tmp_path / "clip.mp4"
    mine.write_bytes(b"mine")
    assert "is there already" in draw(clip, "--out", tmp_path, expect=1)
    assert mine.read_bytes() == b"mine" and Inverter.asked == 0


@pytest.mark.parametrize("kind", ["gif", "webp"])
@pytest.mark.parametrize("transparent", [False, True])
def test_an_animation_keeps_times_rounds_and_what_is_transparent(tmp_path, kind, transparent):
    durations = [40, 100, 20, 500, *[60] * 12]
    frames = [Image.fromarray(scene(number)) for number in range(FRAMES)]
    if transparent:
        alpha = Image.new("L", frames[0].size, 255)
        alpha.paste(0, (0, 30, SIDE, 40))
        for frame in frames:
            frame.putalpha(alpha)
    file = tmp_path / f"a.{kind}"
    frames[0].save(
        file, save_all=True, append_images=frames[1:], duration=durations, loop=3, disposal=2
    )
    draw(file, "--out", tmp_path / "drawn")
    with Image.open(tmp_path / "drawn" / file.name) as drawn:
        assert drawn.info["loop"] == 3 and drawn.format == kind.upper()
        found = [
            (one.convert("RGBA"), one.info["duration"]) for one in ImageSequence.Iterator(drawn)
        ]
    assert [duration for _, duration in found] == durations
    for (drawing, _), frame in zip(found, frames, strict=True):
        now, before = (np.asarray(one.convert("RGBA"), int) for one in (drawing, frame))
        assert np.array_equal(now[..., 3], before[..., 3])
        visible = before[..., 3] > 0
        assert np.abs(255 - before[visible][:, :3] - now[visible][:, :3]).mean() < 6


def test_a_still_gif_is_a_picture(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "a.gif")
    draw(tmp_path / "a.gif", "--out", tmp_path / "drawn")
    assert (tmp_path / "drawn/a.png").is_file()


def test_a_folder_s_videos_count_and_keep_their_names_beside_pictures(tmp_path, clip):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(scene(0)).save(folder / "clip.jpg")
    (folder / "clip.mp4").write_bytes(clip.read_bytes())
    draw(folder, "--out", tmp_path / "drawn")
    assert {path.name for path in (tmp_path / "drawn").glob("[!.]*")} == {"clip.png", "clip.mp4"}


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


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_cut_animation_is_told_before_anything_is_drawn(tmp_path, kind):
    frames = [Image.fromarray(scene(number)) for number in range(FRAMES)]
    file = tmp_path / f"a.{kind}"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=50)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    told = draw(file, "--out", tmp_path / "drawn", expect=1)
    assert "cut off" in told.replace("\n", " ") or "can't be read" in told.replace("\n", " ")
    assert Inverter.asked == 0


def test_killed_before_a_drawing_takes_its_place_nothing_is_lost(tmp_path):
    """The note comes first; what the note before is about is still known as a drawing."""
    source, target = tmp_path / "a.jpg", tmp_path / "drawn/a.png"
    source.write_bytes(b"photo")
    drawn = DrawnFiles(target.parent)
    drawn.write(target, b"first", source, "one way")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: 1 / 0)  # killed
        with pytest.raises(ZeroDivisionError):
            drawn.write(target, b"second one", source, "another way")
    again = DrawnFiles(target.parent)
    assert target.read_bytes() == b"first" and again.is_done(target, source, "one way")
    again.check_free(target, source)
    assert not again.is_done(target, source, "another way")


def test_a_second_command_leaves_the_first_alone(tmp_path, clip):
    out = tmp_path / "drawn"
    with alone(out / "clip.mp4"):
        assert "is being drawn" in draw(clip, "--out", out, expect=1).replace("\n", " ")
    draw(clip, "--out", out)


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


def test_without_pyav_it_says_what_to_install(tmp_path, clip, monkeypatch):
    monkeypatch.setattr(video, "av", None)
    told = draw(clip, "--out", tmp_path, expect=1)
    assert "pip install -e .[video]" in told.replace("\n", " ")
