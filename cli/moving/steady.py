"""Less flicker: a drawing is blended with the one before it, moved as the picture has moved."""

import cv2
import numpy as np

FLOW_SIDE = 480  # px; motion is looked for in frames no larger than this
LEAST_SIDE = 12  # px, in which motion can be found
NOISE = 12.0  # levels; frames that differ by much more after the motion show something else
DRIFT = 1.0  # px that motion there and back may miss its start
CUT = 0.25  # with less agreement than this, on average, another scene has begun


class Steady:
    """Blends the drawings of successive frames.

    Motion is found by dense inverse search (Kroeger et al. 2016). A pixel counts as the same thing
    in both frames if the motion back and forth comes home (Sundaram et al. 2010, section 3) and the
    colours agree; elsewhere, and after a cut, the new drawing stands as it is.

    Args:
        amount: 0 to 1, how much of the drawing before stays where the two frames agree.
    """

    def __init__(self, amount: float) -> None:
        self.amount = amount
        self._photo: np.ndarray | None = None
        self._drawing: np.ndarray | None = None

    def start(self, photo: np.ndarray, drawing: np.ndarray) -> None:
        """Go on after a frame, uint8 [H, W, 3], whose drawing was made steady before."""
        self._photo, self._drawing = _small(photo), drawing

    def __call__(self, photo: np.ndarray, drawing: np.ndarray) -> np.ndarray:
        """The next frame's drawing, made steady: all uint8 [H, W, 3]."""
        before, last = self._photo, self._drawing
        small = _small(photo)
        if before is not None and last is not None and self.amount:
            motion, agreement = self._motion(small, before)
            if agreement.mean() > CUT:
                height, width = drawing.shape[:2]
                scale = np.array([width / small.shape[1], height / small.shape[0]], np.float32)
                motion = np.asarray(cv2.resize(motion, (width, height))) * scale
                share = self.amount * cv2.resize(agreement, (width, height))[..., None]
                moved = warp(last, motion, cv2.INTER_CUBIC)
                mixed = drawing + share * (moved.astype(np.float32) - drawing)
                drawing = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
        self._photo, self._drawing = small, drawing
        return drawing

    def _motion(self, now: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From each pixel to where it was, float32 [H, W, 2], and 0 to 1 for how sure that is."""
        grey, grey_before = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (now, before))
        back, forth = np.zeros((2, *grey.shape, 2), np.float32)
        if min(grey.shape) >= LEAST_SIDE:
            # A new one each time: on even ground it goes by what it found in the frames before, and
            # a clip that was stopped would not go on as it had begun.
            back = np.asarray(_flow().calc(grey, grey_before, back))
            forth = np.asarray(_flow().calc(grey_before, grey, forth))
        missed = np.linalg.norm(back + warp(forth, back, cv2.INTER_LINEAR), axis=-1)
        change = cv2.absdiff(now, warp(before, back, cv2.INTER_LINEAR)).max(axis=-1)
        unlike = cv2.GaussianBlur(change.astype(np.float32), (5, 5), 0)
        agreement = np.exp(-((unlike / NOISE) ** 2) - (missed / DRIFT) ** 2)
        y, x = np.indices(missed.shape, np.float32)
        was = np.stack([x, y], axis=-1) + back
        inside = ((was >= 0) & (was <= np.array(missed.shape[::-1]) - 1)).all(axis=-1)
        return back, (agreement * inside).astype(np.float32)


def warp(pixels: np.ndarray, motion: np.ndarray, interpolation: int) -> np.ndarray:
    """Each pixel from where `motion`, float32 [H, W, 2] in px, says that it was."""
    y, x = np.indices(motion.shape[:2], np.float32)
    return cv2.remap(
        pixels, x + motion[..., 0], y + motion[..., 1], interpolation,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _flow() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def _small(photo: np.ndarray) -> np.ndarray:
    """A frame in which motion is looked for: not large, and with less noise."""
    height, width = photo.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (3, 3), 0)
