"""Which files are moving pictures."""

from pathlib import Path

from cli.moving import animation, video
from cli.moving.frames import Moving


def is_video(path: Path) -> bool:
    """Whether a file is called a video."""
    return path.suffix[1:].lower() in video.SUFFIXES


def drawing_suffix(path: Path) -> str:
    """The suffix of the drawing of a file; .png for pictures that do not move."""
    if is_video(path):
        return video.suffix_of(path)
    return animation.suffix_of(path) or ".png"


def open_moving(path: Path, keep_metadata: bool) -> Moving | None:
    """A moving picture, or None for other files.

    Raises:
        UserError: it can't be used.
    """
    if is_video(path):
        return video.Video(path, keep_metadata)
    return animation.Animation(path) if animation.suffix_of(path) else None
