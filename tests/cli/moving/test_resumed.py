"""A video is drawn to its end whatever stopped it, and nothing else is overwritten."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cli.drawn_files import DrawnFiles
from cli.moving import video
from cli.moving.work import alone
from tests.cli.moving.parts import (
    FRAMES,
    ROOT,
    Inverter,
    draw,
    scene,
    shown,
)


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
from tests.cli.moving.parts import Inverter
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


def test_a_folder_s_videos_count_and_keep_their_names_beside_pictures(tmp_path, clip):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(scene(0)).save(folder / "clip.jpg")
    (folder / "clip.mp4").write_bytes(clip.read_bytes())
    draw(folder, "--out", tmp_path / "drawn")
    assert {path.name for path in (tmp_path / "drawn").glob("[!.]*")} == {"clip.png", "clip.mp4"}
