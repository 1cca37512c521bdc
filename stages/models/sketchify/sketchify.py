"""Sketchify: a U-Net that turns the black-and-white binary of a drawing into a pencil sketch.

It is taught and measured on pairs that `pairs.py` makes from drawings.
"""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from celflow import metrics
from celflow.errors import UserError
from celflow.images import encode_png
from celflow.manifest import Examples
from stages.models.common import keras_files, released_weights, training_loop
from stages.models.common.keras_files import MODEL_FILE, variables
from stages.models.common.model import ImagePredictor, ImageToImage, Log, Report, Splits
from stages.models.common.served_image_model import ServedImageModel, image_predictor
from stages.models.common.training_loop import Metrics, TrainingState
from stages.models.sketchify import baselines, pairs, unet
from stages.models.sketchify.config import SketchifyConfig
from stages.models.sketchify.graph import sketch_of
from stages.models.sketchify.loss import SketchLoss
from stages.models.sketchify.windows import Windows

RELEASED = Path(__file__).parent / "released.npz"
DRAWN = "cartoon"  # the label of the drawings
LINE_PICTURES = 200  # that the straight line is fitted on: two coefficients need no more
SHOWN = 12  # drawings on the sheet


class Sketchify(ImageToImage[SketchifyConfig]):
    """A U-Net from binaries to sketches."""

    config_class = SketchifyConfig
    tasks = ("sketch",)

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Train on the drawings of train, stop by those of val.

        With 0 epochs the model is what `init` says.

        Raises:
            UserError: there are no drawings to learn from.
        """
        config, seed = self.config, self.params.seed
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        train = drawings(splits["train"])
        val = drawings(splits["val"]) if len(splits["val"]) else []
        greys = [pairs.read_grey(path, most=2 * config.image_size) for path in train]
        checked = pairs.pairs_of(val, config.image_size) if val else None

        loss = SketchLoss(config.psnr_weight, config.edge_weight, config.ssim_weight)
        state = TrainingState.load(checkpoint_dir)
        if state is None:
            model = unet.build(config.width)
            released_weights.load(model, config.init, RELEASED, f"train.{self.name}.init")
            steps = len(Windows(greys, config, seed, 0))
            model.compile(
                optimizer=training_loop.optimizer(config.epochs, steps, config.learning_rate),
                loss=loss,
                jit_compile=False,
            )
            state = TrainingState(model)
        for epoch, measured in enumerate(state.history):
            log(epoch, measured)
        if config.epochs == 0:
            log(0, _validate(state.network, loss, checked))
            keras_files.save(state.network, folder / MODEL_FILE)
            return

        def one_epoch(epoch: int) -> Metrics:
            learnt = training_loop.train_epoch(state.network, Windows(greys, config, seed, epoch))
            return learnt | _validate(state.network, loss, checked)

        training_loop.run_epochs(
            state, one_epoch, config.epochs, config.patience, folder, checkpoint_dir, log
        )

    def predictor(self, folder: Path) -> ImagePredictor:
        """The trained model: what is served."""
        return image_predictor(partial(sketch_of, model=keras_files.load(folder)))

    def measure(self, predictor: ImagePredictor, splits: Splits) -> Report:
        """Metrics on the drawings of test, and a sheet.

        Metrics: `pictures` (their number), those of `metrics.image_quality`, and the same under the
        names of three baselines that know nothing, each in a dictionary:

        - `white`: empty paper;
        - `binary`: the binary as it is;
        - `line`: the binary, blurred (sigma 0.8 px), then darkened by the straight line that fits
          the training pictures best. A network that only learns to be pale beats the other two.

        Sheet: binary, ours and true side by side, the worst first.

        Raises:
            UserError: there are no drawings.
        """
        side = self.config.image_size
        binaries, true = pairs.pairs_of(drawings(splits["test"]), side)
        ours = np.stack([predictor(np.dstack([one] * 3))[..., 0] for one in binaries])
        learnt = drawings(splits["train"])[:LINE_PICTURES]
        line = baselines.fit_line(*pairs.pairs_of(learnt, side))
        simple = {
            "white": np.full_like(binaries, 255),
            "binary": binaries,
            "line": baselines.on_line(binaries, **line),
        }
        measured: dict[str, Any] = {"pictures": len(true), **metrics.image_quality(true, ours)}
        for name, baseline in simple.items():
            measured[name] = metrics.image_quality(true, baseline)
        return Report(measured, lambda: {"sheet": _sheet(binaries, ours, true)})

    def export(self, folder: Path, labels: list[str]) -> ServedImageModel:
        """The trained network; it takes whole drawings and finished binaries."""
        model = keras_files.load(folder)

        def draw(image: tf.Tensor) -> tf.Tensor:
            return sketch_of(image, model)

        return ServedImageModel(
            {"serving_default": ((), draw), "pixels": ((), draw)}, variables(model)
        )


def drawings(examples: Examples) -> list[str]:
    """Paths of the drawings. Raises UserError where there are none."""
    if DRAWN in examples.labels:
        label = examples.labels.index(DRAWN)
        found = [p for p, t in zip(examples.paths, examples.truth, strict=True) if t == label]
        if found:
            return found
    raise UserError(f"sketchify learns from pictures of the class '{DRAWN}': one split has none")


def predict_on(model: keras.Model, binaries: np.ndarray) -> np.ndarray:
    """uint8 [N, S, S] of the same; S is a multiple of `unet.MULTIPLE`."""
    batches = (binaries[i : i + 8] for i in range(0, len(binaries), 8))
    drawn = [model.predict_on_batch(pairs.to_unit(batch))[..., 0] for batch in batches]
    return pairs.to_bytes(np.concatenate(drawn))


def _validate(
    model: keras.Model, loss: SketchLoss, checked: tuple[np.ndarray, np.ndarray] | None
) -> Metrics:
    """Metrics of val's binaries and sketches, both uint8 [N, S, S]; none without val."""
    if checked is None:
        return {}
    binaries, true = checked
    ours = predict_on(model, binaries)
    losses = loss(pairs.to_unit(true), pairs.to_unit(ours))
    measured = metrics.image_quality(true, ours)
    return {"val_loss": float(losses), "val_psnr": measured["psnr"], "val_ssim": measured["ssim"]}


def _sheet(binaries: np.ndarray, ours: np.ndarray, true: np.ndarray) -> bytes:
    """PNG bytes: binary, ours and true side by side, the lowest SSIM first."""
    order = np.argsort(
        [metrics.image_quality(t[None], o[None])["ssim"] for t, o in zip(true, ours, strict=True)]
    )
    rows = [np.hstack([binaries[i], ours[i], true[i]]) for i in order[:SHOWN]]
    return encode_png(np.dstack([np.vstack(rows)] * 3))
