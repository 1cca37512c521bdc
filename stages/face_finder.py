"""What finds the faces in pictures, as `facecrop.detector` of params.yaml says."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from celflow import faces, quiet_tensorflow
from celflow.errors import UserError
from celflow.params import FacecropConfig, Params

DETECTOR = "face_detector"  # the model whose settings in params.yaml hold here, too

FindFaces = Callable[[np.ndarray], list[faces.Box]]  # of uint8 [H, W, 3], the largest first
_LOADING = threading.Lock()


def face_finder(params: Params) -> FindFaces:
    """What finds faces, as `facecrop.detector` says.

    Raises:
        UserError: the cascade or the detector's settings are not there.
    """
    config = params.facecrop
    if config.detector == "none":
        return _whole
    if config.detector == "classic":
        cascade = Path(config.cascade) if config.cascade else None
        if cascade and not cascade.is_file():
            raise UserError(f"no cascade at {cascade}: see facecrop.cascade in params.yaml")
        return partial(_classic, cascade=cascade, config=config)
    if DETECTOR not in params.train:
        raise UserError(
            f"facecrop.detector: auto needs train.{DETECTOR} in params.yaml; classic and none don't"
        )
    return OurDetector(params)


@dataclass(frozen=True)
class OurDetector:
    """The faces that our own detector finds; a process that asks it loads it, which takes seconds.

    Raises UserError where the weights that params.yaml names are not there.
    """

    params: Params

    def __call__(self, pixels: np.ndarray) -> list[faces.Box]:
        """Those of uint8 [H, W, 3], the largest first."""
        with _LOADING:
            find = _load(self.params)
        boxes = [faces.Box.of(*row[:4]) for row in find(pixels).tolist()]
        return faces.largest_first(boxes, self.params.facecrop.min_face)


def _load(params: Params) -> Callable[[np.ndarray], np.ndarray]:
    # As many pictures are looked at at a time as there are cores.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    quiet_tensorflow.import_tensorflow()
    from stages.models.face_detector import finder
    from stages.models.face_detector.config import FaceDetectorConfig

    settings = params.model_config_of(DETECTOR, FaceDetectorConfig)
    return finder.load(settings, f"train.{DETECTOR}.init")


def _whole(pixels: np.ndarray) -> list[faces.Box]:
    return [faces.Box(0, 0, pixels.shape[1], pixels.shape[0])]


def _classic(pixels: np.ndarray, cascade: Path | None, config: FacecropConfig) -> list[faces.Box]:
    return faces.detect(pixels, cascade, config.detect_side, config.min_face)
