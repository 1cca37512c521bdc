"""A moving picture through an image model: several frames in flight, steady, piece by piece."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from cli.moving.frames import Frame, Moving
from cli.moving.steady import Steady
from cli.moving.work import Work
from serving.client.in_flight import map_in_flight

IN_FLIGHT = 4  # frames


def draw(
    moving: Moving,
    work: Work,
    model: Callable[[np.ndarray], np.ndarray],
    steady: float,
    progress: Callable[[int], object],
) -> Path:
    """Draw what is not drawn yet; memory does not grow with the number of frames.

    Args:
        moving: the file.
        work: where its pieces are kept.
        model: from a frame to its drawing, uint8 [H, W, 3]; runs on several threads.
        steady: 0 to 1, how much of the drawing before stays.
        progress: is told how many more frames are done.

    Returns:
        The finished file, in the folder of `work`.
    """
    frames = moving.frames()
    blend = Steady(steady)
    done = min(moving.count, len(work.pieces()) * moving.piece_frames)
    for number, frame in enumerate(islice(frames, done), 1):
        if number == done:
            blend.start(frame.pixels, work.last())
    progress(done)

    def both(frame: Frame) -> tuple[Frame, np.ndarray]:
        return frame, model(frame.pixels)

    def steadied(answers: Iterator[tuple[Frame, np.ndarray]]) -> Iterator[Frame]:
        for frame, drawing in answers:
            yield replace(frame, pixels=blend(frame.pixels, drawing))
            progress(1)

    made = steadied(map_in_flight(both, frames, IN_FLIGHT))
    for begin in range(done, moving.count, moving.piece_frames):
        work.add(moving, islice(made, min(moving.piece_frames, moving.count - begin)))
    return work.join(moving)
