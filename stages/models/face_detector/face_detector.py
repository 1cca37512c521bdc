"""A detector of drawn faces: where in a picture is a face, and how sure is that?

It comes with its weights (card.md says from what they were learnt) and is not trained on the data
at hand, where nobody says where faces are. It is measured on the faces of these data in hard
places.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from celflow.images import encode_png, read_image
from celflow.manifest import Examples
from stages.models.common import keras_files, released_weights
from stages.models.common.keras_files import MODEL_FILE
from stages.models.common.model import Log, Model, Report, Splits
from stages.models.face_detector import network, scenes
from stages.models.face_detector.config import FaceDetectorConfig
from stages.models.face_detector.finder import RELEASED, FaceFinder, finder
from stages.models.face_detector.scenes import Scene, hits
from stages.models.face_detector.served import ServedFaceDetector

MEASURED = 48  # faces, at most
WATCHED = 8  # faces of validation, at most
SHOWN_PX = 240  # height of a scene on the sheet
SHOWN = 24  # scenes on it,
COLUMNS = 6  # so many in a row


@dataclass(frozen=True)
class Judged:
    """What was found in a scene.

    boxes: float32 [K, 5]. found: bool [F], a place a face. false: how many boxes are on no face.
    """

    scene: Scene
    boxes: np.ndarray
    found: np.ndarray
    false: int


class FaceDetector(Model[FaceDetectorConfig]):
    """The network with its released weights."""

    config_class = FaceDetectorConfig
    tasks = ("faces",)

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Take the weights that `init` names.

        Raises:
            UserError: there is no such file, or it is of another network.
        """
        model = network.build()
        released_weights.load(model, self.config.init, RELEASED, f"train.{self.name}.init")
        seen = judged(finder(model, self.config), splits["val"], WATCHED, self.params.seed)
        log(0, {"val_f1": measured(seen)["f1"]})
        keras_files.save(model, folder / MODEL_FILE)

    def predictor(self, folder: Path) -> FaceFinder:
        """The detector as a function of pictures: what is served."""
        return finder(keras_files.load(folder), self.config)

    def measure(self, predictor: FaceFinder, splits: Splits) -> Report:
        """Metrics of the boxes in scenes of the test faces, and a sheet, worst scenes first.

        Metrics: `faces` and `scenes` (their numbers), `recall` (share of the faces that are found),
        `precision` (share of the boxes that are on a face), `f1` of both, `false_boxes` a scene,
        and `recall_<kind>` for each kind of scene that has a face.
        """
        seen = judged(predictor, splits["test"], MEASURED, self.params.seed)
        return Report(measured(seen), partial(_draw, seen))

    def export(self, folder: Path, labels: list[str]) -> ServedFaceDetector:
        """The detector, ready to be served."""
        return ServedFaceDetector(keras_files.load(folder), self.config)


def judged(find: FaceFinder, examples: Examples, most: int, seed: int) -> list[Judged]:
    """Scenes of at most `most` faces, spread over the examples, and what is found in them."""
    places = np.linspace(0, len(examples) - 1, min(most, len(examples))).round().astype(int)
    seen = []
    for place in places:
        face = read_image(Path(examples.paths[place])).pixels
        for scene in scenes.scenes_of(face, np.random.default_rng([seed, int(place)])):
            boxes = find(scene.pixels)
            right = hits(boxes, scene.faces)
            false = int((~right.any(axis=1)).sum())
            seen.append(Judged(scene, boxes, np.asarray(right.any(axis=0)), false))
    return seen


def measured(seen: list[Judged]) -> dict[str, Any]:
    """The metrics of `FaceDetector.measure`."""
    faces = sum(len(one.found) for one in seen)
    found = sum(int(one.found.sum()) for one in seen)
    false = sum(one.false for one in seen)
    metrics: dict[str, Any] = {
        "scenes": len(seen),
        "faces": faces,
        "recall": found / max(1, faces),
        "precision": found / max(1, found + false),
        "f1": 2 * found / max(1, faces + found + false),
        "false_boxes": false / max(1, len(seen)),
    }
    for kind in scenes.KINDS:
        rows = [one.found for one in seen if one.scene.kind == kind and len(one.found)]
        if rows:
            metrics[f"recall_{kind}"] = float(np.concatenate(rows).mean())
    return metrics


def _draw(seen: list[Judged]) -> dict[str, bytes]:
    """PNG bytes: scenes with what was found (green) and missed (red), the worst first."""
    worst = sorted(seen, key=lambda one: int(one.found.sum()) - len(one.found) - one.false)
    tiles = [_tile(one) for one in worst[:SHOWN]]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return {"sheet": encode_png(np.vstack(rows))}


def _tile(one: Judged) -> np.ndarray:
    """uint8 [SHOWN_PX, SHOWN_PX, 3]: a scene with its boxes."""
    picture = one.scene.pixels.copy()
    missed = [face for face, found in zip(one.scene.faces, one.found, strict=True) if not found]
    corners = [(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s in missed]
    found = [(x, y, x + w, y + h) for x, y, w, h, _ in one.boxes.tolist()]
    for colour, frames in (((220, 40, 40), corners), ((30, 170, 60), found)):
        for x0, y0, x1, y1 in frames:
            cv2.rectangle(picture, (round(x0), round(y0)), (round(x1), round(y1)), colour, 3)
    scale = SHOWN_PX / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.full((SHOWN_PX, SHOWN_PX, 3), 255, np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile
