"""Animated GIF and WebP files through `celflow draw`."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.cli.moving.parts import (
    FRAMES,
    SIDE,
    Inverter,
    draw,
    scene,
)


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


def test_a_still_gif_is_a_picture(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "a.gif")
    draw(tmp_path / "a.gif", "--out", tmp_path / "drawn")
    assert (tmp_path / "drawn/a.png").is_file()


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_cut_animation_is_told_before_anything_is_drawn(tmp_path, kind):
    frames = [Image.fromarray(scene(number)) for number in range(FRAMES)]
    file = tmp_path / f"a.{kind}"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=50)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    told = draw(file, "--out", tmp_path / "drawn", expect=1)
    assert "cut off" in told.replace("\n", " ") or "can't be read" in told.replace("\n", " ")
    assert Inverter.asked == 0
