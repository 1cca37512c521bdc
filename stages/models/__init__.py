"""The table of model families: a line a model, a module a family."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np

from celflow.errors import UserError
from celflow.manifest import Examples, Split
from celflow.params import CLASSIFY, Params, Task

# Before anything imports TensorFlow: it calls harmless things errors, and leaves oneDNN's kernels,
# twice as fast for the cartoonizer, to processors with AVX-512.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

FAMILIES = {
    "colours": "stages.models.colours",
    "gradient": "stages.models.gradient",
    "edges": "stages.models.edges",
    "xception": "stages.models.xception",
    "photo_inception": "stages.models.photo_inception",
    "character_cnn": "stages.models.character_cnn",
    "character_inception": "stages.models.character_inception",
    "character_embedding": "stages.models.character_embedding",
    "sketchify": "stages.models.sketchify",
    "cartoonizer": "stages.models.cartoonizer",
}

Log = Callable[[int, dict[str, float]], None]
Draw = Callable[[np.ndarray], np.ndarray]  # uint8 [H, W, 3] to uint8 [H, W, 3]


class Family(Protocol):
    """What a module of a model family offers.

    Where it says `calibrates = False`, its scores are taken as they are; otherwise
    `stages.models.calibration` calibrates them, and moves the border between two classes unless it
    says `has_threshold = True`. Where it has a function `validation(params, val, scratch)`, it
    calibrates by the Pictures that this makes of those of val.
    """

    def fit(
        self, params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log
    ) -> None:
        """Train, and save the model into `folder`.

        Picks up at what an interrupted fit left in `scratch`; calls `log(epoch, figures)` after
        each epoch, also for the epochs of before the interruption. Never looks at `splits["test"]`.
        """

    def predict(self, folder: Path, paths: list[str]) -> np.ndarray:
        """float32 [N, C]: scores of pictures in the order of the labels, rows adding up to 1.

        A family that knows when it knows nobody has one column more, the last: "unknown".
        """

    def export(self, folder: Path, labels: list[str]) -> Any:
        """The model as a `stages.models.graph.Classifier`, ready to be saved."""


class PictureFamily(Protocol):
    """What a module offers whose model answers with pictures; `fit` as of `Family`."""

    def fit(
        self, params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log
    ) -> None:
        """Train, and save the model into `folder`."""

    def painter(self, folder: Path) -> Draw:
        """The trained model as a function of pictures."""

    def measure(
        self, draw: Draw, params: Params, splits: dict[Split, Examples]
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Figures of what `draw` makes of test pictures, and a sheet to look at, uint8 [H, W, 3].

        `draw` may be of the trained model or of a served one.
        """

    def export(self, folder: Path, labels: list[str]) -> Any:
        """The model as a `stages.models.picture.PictureModel`, ready to be saved."""


def family(model: str) -> Family:
    """The module of a classifier. Raises UserError for a name that is not in the table."""
    return cast(Family, _module(model))


def picture_family(model: str) -> PictureFamily:
    """The module of a picture model. Raises UserError for a name that is not in the table."""
    return cast(PictureFamily, _module(model))


def check_task(model: str, task: Task) -> None:
    """Raises UserError where a classifier should draw, or a picture model classify."""
    draws = hasattr(_module(model), "painter")
    if draws == (task in CLASSIFY):
        does = "draws pictures" if draws else "classifies pictures"
        raise UserError(f"{model} {does}: its task in params.yaml can't be '{task}'")


def calibrates(family: Family) -> bool:
    """Whether a family leaves calibration to `stages.models.calibration`."""
    return bool(getattr(family, "calibrates", True))


def validation(family: Family) -> Callable[[Params, Examples, Path], Examples]:
    """What makes the pictures that a family is calibrated by, of those of val."""
    return getattr(family, "validation", lambda params, val, scratch: val)


def _module(model: str) -> ModuleType:
    if model not in FAMILIES:
        raise UserError(f"no model '{model}': there are {', '.join(FAMILIES)}")
    return importlib.import_module(FAMILIES[model])
