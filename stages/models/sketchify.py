"""Sketchify: a U-Net that turns the black-and-white binary of a drawing into a pencil sketch.

It is taught and measured on pairs that `stages.models.sketches` makes from drawings.
"""

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from celflow import metrics
from celflow.errors import UserError
from celflow.params import Params
from celflow.manifest import Split, Examples
from stages.models import Draw, Log, network, opencv_ops, sketches, unet, weights
from stages.models.graph import variables
from stages.models.network import MODEL_FILE
from stages.models.picture import PictureModel, drawing, tiled

import keras  # isort: skip  (network.py quiets TensorFlow first)
import tensorflow as tf  # isort: skip

NAME = "sketchify"
DRAWN = "cartoon"  # the label of the drawings
SSIM_WINDOW = 7  # px, as of `metrics.picture`
ALMOST_NOTHING = 1e-3  # of squared differences: 30 dB; nearer, a picture has no weight
VARIED = 0.1  # contrast and brightness of training windows
LINE_BLUR = 0.8  # px, sigma
LINE_PICTURES = 200  # that the straight line is fitted on: two coefficients need no more
SHOWN = 12  # drawings on the sheet
MARGIN = 128  # px that one place of a sketch depends on, at most, to each side


@keras.saving.register_keras_serializable("celflow")
class SketchLoss(keras.losses.Loss):
    """Mean absolute difference, and what it alone loses: fine dark shapes such as eyes.

    L1 + psnr_weight * log(1 + L2 / 0.001) + edge_weight * L1 of the differences of neighbouring
    pixels + ssim_weight * (1 - SSIM), of [N, H, W, 1], 0 to 1. L1 alone asks for the median, which
    for most places is white; squares ask for the mean, and their logarithm (as in PSNR) counts
    pale and dark pictures alike: a binary does not tell how dark its lines were. SSIM (Wang et
    al. 2004, eq. 13) has windows of 7 x 7.
    """

    def __init__(
        self, psnr_weight: float, edge_weight: float, ssim_weight: float, **options: Any
    ) -> None:
        super().__init__(**options)
        self.psnr_weight = psnr_weight
        self.edge_weight = edge_weight
        self.ssim_weight = ssim_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """[N], one loss a picture."""
        apart = y_pred - y_true
        down, right = apart[:, 1:] - apart[:, :-1], apart[:, :, 1:] - apart[:, :, :-1]
        return (
            _mean(tf.abs(apart))
            + self.psnr_weight * tf.math.log1p(_mean(apart * apart) / ALMOST_NOTHING)
            + self.edge_weight * (_mean(tf.abs(down)) + _mean(tf.abs(right)))
            + self.ssim_weight * (1 - _ssim(y_true, y_pred))
        )

    def get_config(self) -> dict[str, Any]:
        """What `load_model` needs to make it again."""
        own = {name: getattr(self, name) for name in ("psnr_weight", "edge_weight", "ssim_weight")}
        return {**super().get_config(), **own}


def fit(params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log) -> None:
    """Train on the drawings among `splits["train"]`, stop by those of `splits["val"]`.

    Otherwise as `stages.models.Family` says. With 0 epochs the model is what `init` says.

    Raises:
        UserError: there are no drawings to learn from or to stop by.
    """
    knobs = params.train.sketchify
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(params.seed)
    tf.config.experimental.enable_op_determinism()
    train, val = drawings(splits["train"]), drawings(splits["val"])
    greys = [sketches.read_grey(path, most=2 * knobs.image_size) for path in train]
    binaries, true = sketches.pairs(val, knobs.image_size)

    loss = SketchLoss(knobs.psnr_weight, knobs.edge_weight, knobs.ssim_weight)
    state = network.State.load(scratch)
    if state is None:
        model = unet.build(knobs.width)
        weights.load(model, knobs.init, NAME)
        steps = len(Windows(greys, knobs, params.seed, 0))
        model.compile(
            optimizer=network.optimizer(knobs.epochs, steps, knobs.learning_rate),
            loss=loss,
            jit_compile=False,
        )
        state = network.State(model, [])
    for epoch, figures in enumerate(state.history):
        log(epoch, figures)
    if knobs.epochs == 0:
        log(0, _validate(state.network, loss, binaries, true))
        state.network.save(folder / MODEL_FILE)
        return

    def one_epoch(epoch: int) -> dict[str, float]:
        learnt = network.train_on(state.network, Windows(greys, knobs, params.seed, epoch))
        return learnt | _validate(state.network, loss, binaries, true)

    network.run_epochs(state, one_epoch, knobs.epochs, knobs.patience, folder, scratch, log)


def painter(folder: Path) -> Draw:
    """The trained model: what is served."""
    model = keras.models.load_model(folder / MODEL_FILE, compile=False)
    return drawing(partial(drawn, model=model))


def measure(
    draw: Draw, params: Params, splits: dict[Split, Examples]
) -> tuple[dict[str, Any], np.ndarray]:
    """Figures on the drawings of test, and a sheet, uint8 [H, W, 3].

    Figures: `pictures` (their number), those of `metrics.picture`, and the same under the names of
    three baselines that know nothing, each in a dictionary:

    - `white`: empty paper;
    - `binary`: the binary as it is;
    - `line`: the binary, blurred (sigma 0.8 px), then darkened by the straight line that fits the
      training pictures best. A network that only learns to be pale beats the other two.

    Sheet: binary, ours and true side by side, the least like drawings first.

    Raises:
        UserError: there are no drawings.
    """
    side = params.train.sketchify.image_size
    binaries, true = sketches.pairs(drawings(splits["test"]), side)
    ours = np.stack([draw(np.dstack([one] * 3))[..., 0] for one in binaries])
    learnt = drawings(splits["train"])[:LINE_PICTURES]
    line = fit_line(*sketches.pairs(learnt, side))
    baselines = {
        "white": np.full_like(binaries, 255), "binary": binaries, "line": on_line(binaries, **line),
    }  # fmt: skip
    figures: dict[str, Any] = {"pictures": len(true), **metrics.picture(true, ours)}
    for name, simple in baselines.items():
        figures[name] = metrics.picture(true, simple)
    order = np.argsort(
        [metrics.picture(t[None], o[None])["ssim"] for t, o in zip(true, ours, strict=True)]
    )
    rows = [np.hstack([binaries[i], ours[i], true[i]]) for i in order[:SHOWN]]
    return figures, np.dstack([np.vstack(rows)] * 3)


def export(folder: Path, labels: list[str]) -> PictureModel:
    """The trained network; it takes whole drawings and finished binaries."""
    model = keras.models.load_model(folder / MODEL_FILE, compile=False)

    def draw(image: tf.Tensor) -> tf.Tensor:
        return drawn(image, model)

    return PictureModel({"serving_default": ((), draw), "pixels": ((), draw)}, variables(model))


def drawn(image: tf.Tensor, model: keras.Model) -> tf.Tensor:
    """The sketch of a drawing, both uint8 [H, W, 3] of any size."""

    def paint(binary: tf.Tensor) -> tf.Tensor:
        return tf.tile(255 * model(binary[..., :1] / 255, training=False), [1, 1, 1, 3])

    binary = tf.tile(prepare(image)[..., None], [1, 1, 3])
    return tiled(binary, paint, unet.MULTIPLE, MARGIN)


def prepare(image: tf.Tensor) -> tf.Tensor:
    """The binary, uint8 [H, W], of a picture, uint8 [H, W, 3].

    A picture that has all but 1 % of its pixels within 16 of black or white is taken for a finished
    binary, which a second threshold would hollow out.
    """
    grey = opencv_ops.grey(image)
    extreme = tf.cast((grey <= 16) | (grey >= 239), tf.float32)
    return tf.cond(
        tf.reduce_mean(extreme) >= 0.99,
        lambda: tf.where(grey < 128, tf.constant(0, tf.uint8), tf.constant(255, tf.uint8)),
        lambda: sketches.binarize_graph(grey),
    )


def drawings(pictures: Examples) -> list[str]:
    """Paths of the drawings. Raises UserError where there are none."""
    if DRAWN in pictures.labels:
        label = pictures.labels.index(DRAWN)
        found = [p for p, t in zip(pictures.paths, pictures.truth, strict=True) if t == label]
        if found:
            return found
    raise UserError(f"{NAME} learns from pictures of the class '{DRAWN}': one part has none")


def sketches_of(model: keras.Model, binaries: np.ndarray) -> np.ndarray:
    """uint8 [N, S, S] of the same; S is a multiple of `unet.MULTIPLE`."""
    batches = (binaries[i : i + 8] for i in range(0, len(binaries), 8))
    drawn = [model.predict_on_batch(_unit(batch))[..., 0] for batch in batches]
    return _bytes(np.concatenate(drawn))


def fit_line(binaries: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Least squares from blurred binaries to sketches, uint8 [N, S, S], counted 0 to 1."""
    slope, offset = np.polyfit(_blurred(binaries).ravel(), true.ravel() / np.float32(255), 1)
    return {"slope": float(slope), "offset": float(offset)}


def on_line(binaries: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """uint8 [N, S, S]: blurred binaries, moved by `fit_line`'s coefficients."""
    return _bytes(np.clip(slope * _blurred(binaries) + offset, 0, 1))


class Windows:
    """One epoch of training: pairs of random windows, float32 [B, patch, patch, 1] each, 0 to 1.

    Windows are cut and varied first and filtered then, as many of each picture as its crop has
    room for. What is drawn at random depends on seed, epoch and number of the window alone.
    """

    def __init__(self, greys: list[np.ndarray], knobs: Any, seed: int, epoch: int) -> None:
        self._greys = greys
        self._knobs = knobs
        self._seed = (seed, epoch)
        each = (knobs.image_size // knobs.patch) ** 2
        self._order = np.random.default_rng(self._seed).permutation(len(greys) * each)

    def __len__(self) -> int:
        return -(-len(self._order) // self._knobs.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        size, k = self._knobs.batch_size, self._knobs
        cut = [
            sketches.window(
                self._greys[i % len(self._greys)],
                k.image_size, k.patch, VARIED, np.random.default_rng([*self._seed, i]),
            )
            for i in self._order[index * size : (index + 1) * size]
        ]  # fmt: skip
        binaries, true = sketches.filtered(cut)
        return _unit(binaries), _unit(true)


def _validate(
    model: keras.Model, loss: SketchLoss, binaries: np.ndarray, true: np.ndarray
) -> dict[str, float]:
    ours = sketches_of(model, binaries)
    losses = loss(_unit(true), _unit(ours))
    figures = metrics.picture(true, ours)
    return {"val_loss": float(losses), "val_psnr": figures["psnr"], "val_ssim": figures["ssim"]}


def _unit(pixels: np.ndarray) -> np.ndarray:
    """float32 [N, H, W, 1], 0 to 1, of uint8 [N, H, W]."""
    return pixels[..., None].astype(np.float32) / 255


def _bytes(drawn: np.ndarray) -> np.ndarray:
    """uint8 of the same, 0 to 1."""
    return np.round(drawn * 255).astype(np.uint8)


def _blurred(binaries: np.ndarray) -> np.ndarray:
    """float32 [N, S, S], 0 to 1."""
    return np.stack([cv2.GaussianBlur(b, (0, 0), LINE_BLUR) for b in _unit(binaries)])


def _mean(pixels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(pixels, axis=[1, 2, 3])


def _ssim(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """[N]: structural similarity of [N, H, W, 1], 0 to 1, in windows that lie whole inside."""
    moments = tf.concat([a, b, a * a, b * b, a * b], axis=-1)
    means = tf.nn.avg_pool2d(moments, SSIM_WINDOW, 1, "VALID")
    mean_a, mean_b, square_a, square_b, product = tf.split(means, 5, axis=-1)
    both, apart = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = product - both
    variances = square_a + square_b - apart
    c1, c2 = 0.01**2, 0.03**2
    return _mean((2 * both + c1) * (2 * covariance + c2) / ((apart + c1) * (variances + c2)))
