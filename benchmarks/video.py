"""How much does a drawn video flicker, what does it cost in sharpness, and how fast is it drawn?

Clips are made here, from photographs that packages ship: a camera that pans and zooms, a thing that
crosses what lies behind it, and a camera that stands still; all with noise, as cameras make it. So
their motion is known, and the judge looks by the true one, not by that which the blend has found:
the mean difference, in levels, of a frame from the one before, moved to where it is now (warping
error, Lai et al. 2018, section 3), where the same thing is seen in both.

    python -m benchmarks.video                    # the released weights, no server
    python -m benchmarks.video --frames FOLDER    # and frames to look at
    python -m benchmarks.video --server ADDRESS   # and frames a second, of the model there
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # or serving.py beside this file comes first
from benchmarks import cartoonizer, sketchify
from celflow import errors
from celflow.files import write_bytes
from celflow.images import encode_png
from cli.draw_command import STEADY
from cli.drawing import Artist
from cli.drawn_files import DrawnFiles
from cli.moving.draw import IN_FLIGHT
from cli.moving.steady import Steady, warp
from serving.client import Client
from serving.client.in_flight import map_in_flight
from stages.models.common.model import ImagePredictor
from stages.sample.photos import read_source

MODELS = {"cartoonizer": cartoonizer.released, "sketchify": sketchify.released}
FRAMES, SIDE, NOISE = 16, 256, 4.0
Camera = np.ndarray  # float [2, 3]: from a frame's x, y, 1 to a photograph's x, y


@dataclass(frozen=True)
class Clip:
    """Frames, uint8 [H, W, 3], and what is known of them.

    motion: of each but the first, from a pixel to where it was: float32 [H, W, 2].
    same: of each but the first, where the same thing was seen in the frame before: bool [H, W].
    bared: of each but the first, what something hid in the frame before: bool [H, W].
    """

    frames: list[np.ndarray]
    motion: list[np.ndarray]
    same: list[np.ndarray]
    bared: list[np.ndarray]


def pan(x: float, y: float, zoom: float, step: tuple[float, float], closer: float) -> list[Camera]:
    """A camera that begins at x, y of a photograph and moves by a step each frame."""
    scales = [zoom * closer**number for number in range(FRAMES)]
    return [
        np.array([[scale, 0, x + number * step[0]], [0, scale, y + number * step[1]]])
        for number, scale in enumerate(scales)
    ]


def clip(ground: str, cameras: list[Camera], thing: str = "", things: list[Camera] | None = None):
    """The clip of a photograph, and of a round part of another that crosses it."""
    rng = np.random.default_rng(0)
    y, x = np.indices((SIDE, SIDE), np.float32)
    points = np.stack([x, y, np.ones_like(x)], axis=-1)
    frames, motions, same, bared, last_shape = [], [], [], [], None
    for number in range(FRAMES):
        frame = seen(ground, points @ cameras[number].T)
        shape = np.zeros((SIDE, SIDE), bool)
        motion = before(points, cameras, number)
        if things:
            place = points @ things[number].T
            shape = np.linalg.norm(place - 256, axis=-1) < 150
            frame[shape] = seen(thing, place)[shape]
            motion[shape] = before(points, things, number)[shape]
        frames.append(np.clip(frame + rng.normal(0, NOISE, frame.shape), 0, 255).astype(np.uint8))
        if last_shape is not None:
            was = warp(last_shape.astype(np.float32), motion, cv2.INTER_LINEAR)
            there = points[..., :2] + motion
            inside = ((there >= 0) & (there <= SIDE - 1)).all(axis=-1)
            motions.append(motion)
            same.append(inside & np.where(shape, was > 0.999, was < 0.001))
            bared.append(inside & ~shape & (was > 0.5))
        last_shape = shape
    return Clip(frames, motions, same, bared)


def seen(source: str, place: np.ndarray) -> np.ndarray:
    """float32 [H, W, 3]: a photograph at some of its places, smooth enough for this scale."""
    photo = cv2.GaussianBlur(read_source(source), (0, 0), 0.7).astype(np.float32)
    x, y = (place[..., axis].astype(np.float32) for axis in (0, 1))
    return cv2.remap(photo, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def before(points: np.ndarray, cameras: list[Camera], number: int) -> np.ndarray:
    """float32 [H, W, 2]: from each pixel to where a camera saw it in the frame before."""
    now, last = cameras[number], cameras[max(0, number - 1)]
    place = points @ now.T
    was = (place - last[:, 2]) @ np.linalg.inv(last[:, :2]).T
    return (was - points[..., :2]).astype(np.float32)


def clips() -> dict[str, Clip]:
    """By name."""
    return {
        "pan": clip("astronaut", pan(60, 0, 1.0, (3.3, 1.4), 1.004)),
        "crossing": clip(
            "coffee", pan(150, 60, 1.0, (-1.7, 0.6), 1.0),
            "chelsea", pan(330, 60, 1.3, (-10.1, 0.9), 1.0),
        ),
        "still": clip("china", pan(200, 120, 1.0, (0, 0), 1.0)),
    }  # fmt: skip


def warping_error(clip: Clip, pictures: list[np.ndarray]) -> float:
    """Levels by which pictures differ from those before, along the true motion."""
    errors = []
    for number, (motion, same) in enumerate(zip(clip.motion, clip.same, strict=True), 1):
        moved = warp(pictures[number - 1], motion, cv2.INTER_LINEAR)
        errors.append(cv2.absdiff(pictures[number], moved)[same].mean())
    return float(np.mean(errors))


def sharpness(pictures: list[np.ndarray]) -> float:
    """Mean gradient of lightness, levels a pixel."""
    found = []
    for picture in pictures[1:]:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        along = [cv2.Sobel(grey, cv2.CV_32F, *axes, ksize=3) / 8 for axes in ((1, 0), (0, 1))]
        found.append(np.hypot(*along).mean())
    return float(np.mean(found))


def ghost(clip: Clip, plain: list[np.ndarray], blended: list[np.ndarray]) -> float | None:
    """Levels that the blend changes where there is nothing to blend with: what was hidden."""
    found = [
        cv2.absdiff(plain[number], blended[number])[bared].mean()
        for number, bared in enumerate(clip.bared, 1)
        if bared.any()
    ]
    return float(np.mean(found)) if found else None


def quality(draw: ImagePredictor, amounts: list[float], folder: Path | None) -> None:
    """A row a clip and amount."""
    table = Table(
        "clip", "blended", "photo", "frame by frame", "blended", "share", "sharpness", "ghost",
        title=f"warping error, levels; {FRAMES} frames of {SIDE} px",
    )  # fmt: skip
    for name, one in clips().items():
        plain = [draw(frame) for frame in one.frames]
        for amount in amounts:
            steady = Steady(amount)
            blended = [steady(*pair) for pair in zip(one.frames, plain, strict=True)]
            alone, together = (warping_error(one, pictures) for pictures in (plain, blended))
            hidden = ghost(one, plain, blended)
            table.add_row(
                name, f"{amount:g}", f"{warping_error(one, one.frames):.2f}", f"{alone:.2f}",
                f"{together:.2f}", f"{together / alone:.2f}",
                f"{sharpness(blended) / sharpness(plain):.2f}",
                "" if hidden is None else f"{hidden:.2f}",
            )  # fmt: skip
            if folder:
                for number in range(0, FRAMES, 5):
                    row = [one.frames[number], plain[number], blended[number]]
                    write_bytes(
                        folder / f"{name}-{amount:g}-{number:02}.png", encode_png(np.hstack(row))
                    )
    Console().print(table)


def speed(address: str, model: str) -> None:
    """Frames a second of `celflow draw` and of the server alone, as many in flight."""
    frames = [cv2.resize(frame, (640, 360)) for frame in clips()["pan"].frames] * 2
    with tempfile.TemporaryDirectory() as name, Client(address, timeout=120) as client:
        file, out = Path(name) / "clip.mp4", Path(name) / "drawn"
        with av.open(str(file), "w") as written:
            stream = written.add_stream("libx264", rate=16)
            stream.height, stream.width = frames[0].shape[:2]
            for frame in frames:
                written.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            written.mux(stream.encode())
        sent = [encode_png(frame) for frame in frames]
        client.draw(model, sent[0], "stable")

        begun = time.perf_counter()
        for _ in map_in_flight(lambda one: client.draw(model, one, "stable"), sent, IN_FLIGHT):
            pass
        alone = len(frames) / (time.perf_counter() - begun)
        begun = time.perf_counter()
        artist = Artist(client, model, "stable", {}, STEADY, keep_exif=False)
        artist.draw(file, out / "clip.mp4", DrawnFiles(out))
        drawn = len(frames) / (time.perf_counter() - begun)
    table = Table("", "frames a second", "share", title=f"{len(frames)} frames of 640 x 360 px")
    table.add_row("the server alone", f"{alone:.2f}", "")
    table.add_row("celflow draw", f"{drawn:.2f}", f"{drawn / alone:.2f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="cartoonizer")
    parser.add_argument("--amounts", type=float, nargs="+", default=[STEADY])
    parser.add_argument("--frames", type=Path, help="folder for frames: photo, alone, blended")
    parser.add_argument("--server", help="address of a server that has the model")
    args = parser.parse_args()
    quality(MODELS[args.model](), args.amounts, args.frames)
    if args.server:
        speed(args.server, args.model)


if __name__ == "__main__":
    errors.run(main)
