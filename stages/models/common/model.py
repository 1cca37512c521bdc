"""What a model is: its settings, and how it is fitted, asked, measured and exported."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from celflow import metrics
from celflow.manifest import Examples, Split
from celflow.params import Params, Section, Task
from stages.models.common import calibration, classification_report
from stages.models.common.calibration import Calibration

Config = TypeVar("Config", bound=Section)
Splits = Mapping[Split, Examples]
Log = Callable[[int, Mapping[str, float]], None]
ImagePredictor = Callable[[np.ndarray], np.ndarray]  # uint8 [H, W, 3] to uint8 [H, W, 3]


class Servable(Protocol):
    """A model in the form in which it is served."""

    def save(self, folder: Path) -> None:
        """Write the SavedModel."""


@dataclass(frozen=True)
class Report:
    """What measuring a model found.

    metrics: by name; `metrics/<model>.json` holds them.
    draw: makes pictures to look at, PNG bytes by name; one of them is `sheet`.
    """

    metrics: dict[str, Any]
    draw: Callable[[], dict[str, bytes]]


class Model(ABC, Generic[Config]):
    """A trainable model.

    Args:
        name: its name in the table of models of params.yaml.
        params: all of params.yaml.

    Attributes:
        config_class: the class of its section in params.yaml, `train.<name>`.
        tasks: what it can be trained for.

    Raises:
        UserError: a key or value of its section is wrong.
    """

    config_class: type[Config]
    tasks: ClassVar[tuple[Task, ...]]

    def __init__(self, name: str, params: Params) -> None:
        self.name = name
        self.params = params
        self.config = params.model_config_of(name, self.config_class)

    @abstractmethod
    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Train, and save the model into `folder`.

        Picks up what an interrupted fit left in `checkpoint_dir`; calls `log(epoch, metrics)` after
        each epoch, also for the epochs of before the interruption. Never looks at the test split.
        """

    @abstractmethod
    def predictor(self, folder: Path) -> Any:
        """The model that `fit` saved, as a function."""

    @abstractmethod
    def measure(self, predictor: Any, splits: Splits) -> Report:
        """Measure what a predictor makes of the test split; it may be of the trained model or of
        a served one.
        """

    @abstractmethod
    def export(self, folder: Path, labels: list[str]) -> Servable:
        """The model that `fit` saved, ready to be served."""


@dataclass(frozen=True)
class ScorePredictor:
    """A classifier as a function of picture files.

    raw: paths to float32 [N, C], rows adding up to 1.
    calibration: how those become the scores that are served.
    """

    raw: Callable[[list[str]], np.ndarray]
    calibration: Calibration = field(default_factory=Calibration)

    def __call__(self, paths: list[str]) -> np.ndarray:
        """float32 [N, C]: calibrated scores."""
        return self.calibration.scores(self.raw(paths))


class Classifier(Model[Config]):
    """A model that answers with scores of classes.

    Attributes:
        is_calibrated: whether `calibration` fits a temperature to its scores; otherwise they are
            taken as they are.
        has_threshold: whether the border between its two classes is a setting of its own, which
            calibration must not move.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("cartoon_or_photo", "characters")
    is_calibrated: ClassVar[bool] = True
    has_threshold: ClassVar[bool] = False

    @abstractmethod
    def predict(self, folder: Path, paths: list[str]) -> np.ndarray:
        """float32 [N, C]: raw scores in the order of the labels, rows adding up to 1.

        A model that knows when it knows nobody has one column more, the last: "unknown".
        """

    @abstractmethod
    def servable(self, folder: Path, labels: list[str], calibrated: Calibration) -> Servable:
        """The model that `fit` saved, ready to be served with this calibration."""

    def validation(self, val: Examples, checkpoint_dir: Path) -> Examples:
        """The examples that the model is calibrated by: those of val, unless it says otherwise."""
        return val

    def load_calibration(self, folder: Path) -> Calibration:
        """The calibration of the model that was trained into `folder`."""
        return calibration.load(self, folder)

    def predictor(self, folder: Path) -> ScorePredictor:
        """The trained model with its calibration."""
        return ScorePredictor(
            lambda paths: self.predict(folder, paths), self.load_calibration(folder)
        )

    def export(self, folder: Path, labels: list[str]) -> Servable:
        """The trained model with its calibration, ready to be served."""
        return self.servable(folder, labels, self.load_calibration(folder))

    def measure(self, predictor: ScorePredictor, splits: Splits) -> Report:
        """Metrics of calibrated scores on the test split, and a sheet of the worst mistakes.

        Raises:
            ValueError: there are no test examples.
        """
        test, held_out = splits["test"], splits["unknown"]
        scores = predictor(test.paths)
        measured = metrics.classification(test.truth, scores, test.labels)
        calibrated = predictor.calibration
        measured["temperature"], measured["bias"] = calibrated.temperature, calibrated.bias
        if self.params.task(self.name) == "cartoon_or_photo":
            measured["unsure_low"], measured["unsure_high"] = calibrated.low, calibrated.high
            measured |= metrics.selective(test.truth, scores, calibrated.sure(scores))
        if len(held_out) and scores.shape[1] > len(test.labels):
            measured |= metrics.unknown(scores, predictor(held_out.paths))
        mistakes = self.params.evaluate.mistakes
        return Report(measured, lambda: classification_report.draw(test, scores, mistakes))


class ImageToImage(Model[Config]):
    """A model that answers a picture with a picture."""

    tasks: ClassVar[tuple[Task, ...]] = ("sketch", "cartoonize")

    @abstractmethod
    def predictor(self, folder: Path) -> ImagePredictor:
        """The trained model as a function of pictures, any size: what is served."""

    @abstractmethod
    def measure(self, predictor: ImagePredictor, splits: Splits) -> Report:
        """Metrics of what a predictor makes of test pictures, and a sheet of them."""
