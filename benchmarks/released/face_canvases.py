"""Pictures to teach a face detector by: drawings, photographs and faces laid on each other.

A canvas has a ground (a photograph, a drawing of other things, or a colour) and on it one drawing,
four, or a grid of face crops and scraps of photographs; or nothing. Everything is turned, mirrored,
scaled, darkened and damaged at random.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 320  # px of a canvas
MOST = 40  # boxes on a canvas
SMALLEST, LARGEST = 11, 400  # px, side of a face on a canvas
SHARES = {"characters": 0.42, "painted": 0.2, "screens": 0.38}  # of the drawings with faces
TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True)
class Picture:
    """uint8 [H, W, 3], and boxes float [K, 4]: centre x and y, side, 1 for a face, 0 for "maybe".

    whole: whether all its faces are among the boxes; elsewhere others may be anywhere.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    whole: bool = True


class Maker:
    """Makes canvases of pictures by kind: those of SHARES, `faces` (crops), `photos`, `others`."""

    def __init__(self, pictures: dict[str, list[Picture]], seed: int) -> None:
        self.pictures = pictures
        self.rng = np.random.default_rng(seed)

    def canvas(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """uint8 [SIDE, SIDE, 3]; boxes float32 [MOST, 4], status -1 where there is none; and
        float32 [SIDE / 8, SIDE / 8], the share of each cell in which faces are not all known."""
        rng = self.rng
        self.pixels = np.empty((SIDE, SIDE, 3), np.uint8)
        self.unknown = np.zeros((SIDE, SIDE), np.float32)
        self.boxes: list[np.ndarray] = []
        kind = rng.choice(["one", "four", "grid", "none"], p=[0.46, 0.14, 0.16, 0.24])
        self._ground(plain=bool(kind != "none" and rng.uniform() < 0.45))
        if kind == "one":
            self._drawing(0, 0, SIDE, SIDE)
        elif kind == "four":
            x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * SIDE)
            for cell in ((0, 0, x, y), (x, 0, SIDE, y), (0, y, x, SIDE), (x, y, SIDE, SIDE)):
                self._drawing(*cell)
        elif kind == "grid":
            self._grid(int(rng.uniform() ** 1.5 * 5 + 1))
        found = np.concatenate(self.boxes) if self.boxes else np.zeros((0, 4))
        found = found[np.argsort(-found[:, 3])][:MOST]
        padded = np.full((MOST, 4), -1.0, np.float32)
        padded[: len(found)] = found
        cells = cv2.resize(self.unknown, (SIDE // 8, SIDE // 8), interpolation=cv2.INTER_AREA)
        return damaged(self.pixels, rng), padded, cells

    def _pick(self, kind: str) -> Picture:
        return self.pictures[kind][self.rng.integers(len(self.pictures[kind]))]

    def _angle(self) -> float:
        """Radians: half nearly upright, nearly all others up to 75 degrees."""
        chance = self.rng.uniform()
        if chance < 0.5:
            return math.radians(self.rng.normal() * 8)
        return math.radians(self.rng.uniform(-1, 1) * (75 if chance < 0.94 else 180))

    def _place(
        self, scale: float, angle: float, source: np.ndarray, target: tuple[float, float]
    ) -> np.ndarray:
        """float [2, 3]: takes `source` to `target`; mirrored in half of the cases."""
        stretch, flip = math.exp(self.rng.normal() * 0.05), self.rng.choice([-1, 1])
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        turn = np.array(
            [[cos * flip * stretch, -sin / stretch], [sin * flip * stretch, cos / stretch]]
        )
        return np.column_stack([turn, np.array(target) - turn @ source])

    def _ground(self, plain: bool) -> None:
        rng = self.rng
        if plain:
            colour = rng.uniform(0, 255, 3)
            self.pixels[:] = 255 - colour * 0.1 if rng.uniform() < 0.4 else colour
            return
        picture = self._pick("others" if rng.uniform() < 0.3 else "photos")
        size = np.array(picture.pixels.shape[1::-1])
        scale = SIDE / size.min() * math.exp(rng.uniform(-0.1, 1.0))
        angle = rng.normal() * 0.1 if rng.uniform() < 0.8 else self._angle()
        room = np.maximum(size / 2 - SIDE / 2 / scale, 0)
        source = size / 2 + rng.uniform(-1, 1, 2) * room
        matrix = self._place(scale, angle, source, (SIDE / 2, SIDE / 2))
        self.pixels[:], _ = warped(picture.pixels, matrix, SIDE, SIDE, cv2.BORDER_REFLECT_101)
        self.unknown[:] = 0.0 if picture.whole else 1.0
        boxes = moved(picture.boxes, matrix, angle)
        boxes[:, 3] = 0.0
        self.boxes.append(visible(boxes, (0, 0, SIDE, SIDE)))

    def _drawing(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """A drawing in a cell, scaled so that one of its faces has a size of all sizes."""
        rng = self.rng
        picture = self._pick(rng.choice(list(SHARES), p=list(SHARES.values())))
        size, cell = np.array(picture.pixels.shape[1::-1]), min(x1 - x0, y1 - y0)
        faces = picture.boxes[picture.boxes[:, 2] > 4]
        if len(faces):
            face = faces[rng.integers(len(faces))]
            side = math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST)))
            scale = float(np.clip(min(side, cell * rng.uniform(0.85, 1.35)) / face[2], 0.05, 4))
            source, side = face[:2], face[2] * scale
        else:
            scale = cell / size.max() * math.exp(rng.uniform(-0.3, 1.2))
            source, side = size * rng.uniform(size=2), cell * 0.3
        x, y = rng.uniform(x0, x1), rng.uniform(y0, y1)
        chance = rng.uniform()
        if chance < 0.25:  # the border cuts it
            inset = side * rng.uniform(0.15, 0.5)
            x, y = ((x0 + inset, y), (x1 - inset, y), (x, y0 + inset), (x, y1 - inset))[
                rng.integers(4)
            ]
        elif chance < 0.8 and side < cell:  # it is wholly inside
            x = float(np.clip(x, x0 + side / 2, x1 - side / 2))
            y = float(np.clip(y, y0 + side / 2, y1 - side / 2))
        angle = self._angle()
        matrix = self._place(scale, angle, source, (x - x0, y - y0))
        pixels, mask = warped(picture.pixels, matrix, x1 - x0, y1 - y0, cv2.BORDER_REPLICATE)
        if rng.uniform() < 0.3:  # its border goes on
            mask[:] = True
        self.pixels[y0:y1, x0:x1][mask] = pixels[mask]
        self.unknown[y0:y1, x0:x1][mask] = 0.0 if picture.whole else 1.0
        boxes = moved(picture.boxes, matrix, angle)
        boxes[:, :2] += (x0, y0)
        self.boxes.append(visible(boxes, (x0, y0, x1, y1)))

    def _grid(self, count: int) -> None:
        """count x count places, with a face crop in some, in others a scrap of something else."""
        rng, cell = self.rng, SIDE / count
        for row, column in np.ndindex(count, count):
            if rng.uniform() < 0.35:
                continue
            is_face = rng.uniform() < 0.65
            picture = self._pick(
                "faces" if is_face else rng.choice(["photos", "others"], p=[0.75, 0.25])
            )
            size = np.array(picture.pixels.shape[1::-1])
            side = cell * rng.uniform(0.3, 0.95)
            shift = rng.uniform(-0.5, 0.5, 2) * (cell - side)
            x, y = (column + 0.5) * cell + shift[0], (row + 0.5) * cell + shift[1]
            if is_face:
                scale, source, angle = side / size.max(), size / 2, self._angle()
            else:
                scale = side / size.min() * math.exp(rng.uniform(0, 1.4))
                source, angle = size * rng.uniform(0.35, 0.65, 2), 0.3 * self._angle()
            x0, y0 = max(0, int(x - side)), max(0, int(y - side))
            x1, y1 = min(SIDE, int(x + side) + 1), min(SIDE, int(y + side) + 1)
            matrix = self._place(scale, angle, source, (x - x0, y - y0))
            pixels, mask = warped(picture.pixels, matrix, x1 - x0, y1 - y0, cv2.BORDER_REPLICATE)
            across, down = np.meshgrid(np.arange(x0, x1) - x, np.arange(y0, y1) - y)
            if rng.uniform() < 0.5:
                alpha = mask & (
                    np.maximum(abs(across), abs(down)) < (side if is_face else side / 2)
                )
            else:
                away = np.hypot(across, down) / side
                alpha = np.clip((0.56 - away) / rng.uniform(0.01, 0.12) + 0.5, 0, 1) * mask
            under = self.pixels[y0:y1, x0:x1]
            under[:] = under + (pixels.astype(np.float32) - under) * alpha[..., None]
            self.unknown[y0:y1, x0:x1][alpha > 0.5] = 0.0 if picture.whole else 1.0
            if is_face:
                boxes = moved(picture.boxes, matrix, angle)
                boxes[:, :2] += (x0, y0)
                self.boxes.append(visible(boxes, (0, 0, SIDE, SIDE)))


def warped(
    pixels: np.ndarray, matrix: np.ndarray, width: int, height: int, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """The picture by a matrix, area-averaged where it shrinks, and the mask of where it is."""
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.7:
        size = [max(1, round(v * max(scale, 0.02))) for v in pixels.shape[1::-1]]
        factors = np.diag(np.array(pixels.shape[1::-1]) / size)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        matrix = np.column_stack([matrix[:, :2] @ factors, matrix[:, 2]])
    laid = cv2.warpAffine(pixels, matrix, (width, height), borderMode=border)
    inside = np.full(pixels.shape[:2], 255, np.uint8)
    mask = cv2.warpAffine(inside, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return laid, mask > 0


def moved(boxes: np.ndarray, matrix: np.ndarray, angle: float) -> np.ndarray:
    """The boxes by a matrix; a tilted face's square grows, less than the hull of its corners."""
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    hull = abs(math.cos(angle)) + abs(math.sin(angle))
    side = boxes[:, 2] * scale * (1 + 0.4 * (hull - 1))
    return np.column_stack([boxes[:, :2] @ matrix[:, :2].T + matrix[:, 2], side, boxes[:, 3]])


def visible(boxes: np.ndarray, cell: tuple[int, int, int, int]) -> np.ndarray:
    """Those that show in a cell; half hidden ones and ones too small or large count as "maybe"."""
    x, y, side = boxes[:, 0], boxes[:, 1], 0.85 * boxes[:, 2]
    x0, y0, x1, y1 = cell
    across = np.minimum(x + side / 2, x1) - np.maximum(x - side / 2, x0)
    down = np.minimum(y + side / 2, y1) - np.maximum(y - side / 2, y0)
    part = across.clip(0) * down.clip(0) / (side**2 + 1e-6)
    inside = (x > x0) & (x < x1) & (y > y0) & (y < y1) & (part > 0.55)
    clear = inside & (boxes[:, 3] > 0.5) & (boxes[:, 2] >= 10) & (boxes[:, 2] <= 480)
    shown = np.column_stack([boxes[:, :3], clear.astype(float)])
    return shown[(part > 0.15) & (boxes[:, 2] >= 4)]


def damaged(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3] in other colours and light, blurred, grainy, JPEG, dark."""

    def now_and_then(share: float) -> bool:
        return bool(rng.uniform() < share)

    turn = rng.normal() * 0.5 if now_and_then(0.4) else 0.0
    strength = 0.0 if now_and_then(0.13) else math.exp(rng.normal() * 0.25)
    cos, sin = strength * math.cos(turn), strength * math.sin(turn)
    hue = np.linalg.inv(TO_YIQ) @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ TO_YIQ
    contrast = math.exp(rng.normal() * 0.22)
    colours = np.diag(np.exp(rng.normal(size=3) * 0.1)) @ hue * contrast
    light = np.full((3, 1), 0.5 - 0.5 * contrast + rng.normal() * 0.07)
    x = cv2.transform(pixels.astype(np.float32) / 255, np.hstack([colours, light])).clip(0, 1)
    if now_and_then(0.5):
        x = x ** math.exp(rng.normal() * 0.35)
    if now_and_then(0.2):
        line = np.linspace(-1, 1, SIDE)
        slope = 1 + 0.35 * (rng.normal() * line + rng.normal() * line[:, None])
        x = x * slope[..., None].clip(0.2, 1.8)
    if now_and_then(0.2):
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.4))
    if now_and_then(0.08):
        half = cv2.resize(x, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
        x = cv2.resize(half, (SIDE, SIDE))
    if now_and_then(0.2):
        grain = rng.normal(size=(SIDE, SIDE, 1 if now_and_then(0.6) else 3))
        x = x + rng.uniform(0, 0.07) * grain
    x = (x.clip(0, 1) * 255).astype(np.uint8)
    if now_and_then(0.4):
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))]
        x = cv2.imdecode(cv2.imencode(".jpg", x, quality)[1], cv2.IMREAD_COLOR)
    return (x * rng.uniform(0.15, 0.8)).astype(np.uint8) if now_and_then(0.22) else x
