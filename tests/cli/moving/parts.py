"""Small clips, made here, and a model server that is not there."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from typer.testing import CliRunner

from celflow.images import encode_png, open_image
from cli import main
from serving.client import BadInput, Prediction, ServerDown

ROOT = Path(__file__).parents[3]
FRAMES, SIDE, RATE = 16, 64, 8
EVEN = [100 * number for number in range(FRAMES)]
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
