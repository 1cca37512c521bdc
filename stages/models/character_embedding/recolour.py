"""Faces of characters that nobody drew: those that we have, in other colours."""

import cv2
import numpy as np

TURNS = 4  # quarters of the circle of hues; the first leaves a face as it is
SKIN = (172, 17)  # hues of skin, from and to by way of red, in units of two degrees
PALE = (15, 115)  # saturation of skin
LIT = 150  # its least value


def recoloured(face: np.ndarray, turn: int) -> np.ndarray:
    """uint8 [H, W, 3] of uint8 [H, W, 3]: hair, eyes and clothes turned in hue, skin kept.

    turn: quarters of the circle of hues. Skin is what is pale, well lit and reddish; fair hair
    passes for it, and grey and black have no hue to turn.
    """
    hue, saturation, value = cv2.split(cv2.cvtColor(face, cv2.COLOR_RGB2HSV))
    reddish = (hue >= SKIN[0]) | (hue <= SKIN[1])
    pale = (saturation >= PALE[0]) & (saturation <= PALE[1])
    skin = cv2.medianBlur((reddish & pale & (value >= LIT)).astype(np.float32), 5)
    skin = cv2.GaussianBlur(skin, (0, 0), 1.0)[..., None]
    hue = ((hue.astype(int) + 45 * turn) % 180).astype(np.uint8)
    turned = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB)
    return (skin * face + (1 - skin) * turned).round().astype(np.uint8)
