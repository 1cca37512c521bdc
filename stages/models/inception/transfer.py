"""Transfer learning: Inception-v3 (Szegedy et al. 2016) up to a tap, then a layer of our own.

First only the new layer is fitted, on features of the frozen trunk, which are kept in
checkpoints/features/ because they never change. Then trunk and layer are tuned together.
"""

import hashlib
import warnings
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import keras
import numpy as np
from keras import layers
from pydantic import Field, ValidationInfo, field_validator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from celflow.errors import UserError
from celflow.files import write_bytes
from celflow.manifest import Examples
from celflow.params import UserPath
from stages.models.common import keras_files
from stages.models.common.config import NetworkConfig
from stages.models.common.image_ops import read_pixels
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.keras_files import MODEL_FILE
from stages.models.common.mirrored import mirrored
from stages.models.common.model import Log, Splits
from stages.models.common.training_loop import predict_on

FEATURES = Path("checkpoints/features")
BLIND_C = 1e-3  # of `probe`, where nothing validates it; the middle of what it tries
MOMENTUM = 0.9  # of batch normalisation; 0.99 lags where an epoch has few steps

Tap = Literal[
    "mixed0", "mixed1", "mixed2", "mixed3", "mixed4", "mixed5",
    "mixed6", "mixed7", "mixed8", "mixed9", "mixed10",
]  # fmt: skip


class TransferConfig(NetworkConfig):
    """Settings of a network that begins with Inception-v3."""

    image_size: Annotated[int, Field(ge=75, le=1024)]  # Inception-v3 takes no less
    epochs: Annotated[int, Field(ge=0)]
    weights: UserPath
    tap: Tap | Annotated[list[Tap], Field(min_length=1)]
    frozen: Tap | None
    probe_c: Annotated[float, Field(gt=0)] | None
    keep_norm: bool
    mirror: bool

    @field_validator("frozen")
    @classmethod
    def _is_part_of_the_trunk(cls, frozen: Tap | None, info: ValidationInfo) -> Tap | None:
        tap = info.data.get("tap", [])
        taps = [tap] if isinstance(tap, str) else tap
        if frozen and taps and all(int(frozen[5:]) > int(one[5:]) for one in taps):
            raise ValueError(f"lies behind the tap, {' and '.join(taps)}")
        return frozen

    @property
    def taps(self) -> list[Tap]:
        """The layers that are tapped."""
        return [self.tap] if isinstance(self.tap, str) else self.tap


TransferConfigType = TypeVar("TransferConfigType", bound=TransferConfig)


class TransferClassifier(KerasClassifier[TransferConfigType]):
    """Inception-v3 up to a tap, and a softmax layer."""

    def build(self, splits: Splits) -> keras.Model:
        """The trunk and a softmax layer that is fitted to its frozen features already."""
        config, train, val = self.config, splits["train"], splits["val"]
        features = prepared(config, train)
        fitted = frozen_features(features, config, train), train.truth
        checked = (frozen_features(features, config, val), val.truth) if len(val) else None
        kernel, bias = probe(fitted, checked, config.probe_c)
        freeze(features, config)
        head = layers.Dense(len(train.labels), activation="softmax", name="classes")
        x = layers.Dropout(config.dropout)(features.output)
        model = keras.Model(features.input, head(x))
        head.set_weights([kernel, bias])
        return model

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Fit the layer, fine-tune all of it, stop by val."""
        super().fit(splits, folder, checkpoint_dir, log)
        if self.config.mirror:
            keras_files.save(mirrored(keras_files.load(folder)), folder / MODEL_FILE)


def trunk(config: TransferConfig) -> keras.Model:
    """Pixels [N, S, S, 3], 0 to 255, to features, float32 [N, D]: means of the taps' channels.

    Raises:
        UserError: the weights can't be had, or are of another network.
    """
    side = config.image_size
    weights = None if config.weights == "none" else config.weights
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise UserError(f"no weights file '{weights}': give a path, 'imagenet' or 'none'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns of layers left untouched
            whole = keras.applications.InceptionV3(
                include_top=False, weights=weights, input_shape=(side, side, 3)
            )
    except Exception as error:  # Keras raises what HDF5, the network or its own checks raise
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"'{weights}' gives no weights of Inception-v3: {reason}") from None
    inputs = keras.Input((side, side, 3))
    outputs = [whole.get_layer(tap).output for tap in config.taps]
    cut = keras.Model(whole.input, outputs, name="trunk")
    for layer in cut.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    tapped = cut(layers.Rescaling(1 / 127.5, offset=-1)(inputs))
    means = [layers.GlobalAveragePooling2D()(x) for x in tapped]
    features = means[0] if len(means) == 1 else layers.concatenate(means)
    return keras.Model(inputs, features, name="features")


def prepared(config: TransferConfig, train: Examples) -> keras.Model:
    """The trunk, ready to be tuned.

    Without `keep_norm` its means and variances (batch normalisation) become those of our pictures
    (AdaBN, Li et al. 2017, section 3): so our layer is fitted to features like those that tuning
    begins with. An untrained trunk has none to keep.
    """
    features = trunk(config)
    if not config.keep_norm or config.weights == "none":
        norms = [
            layer
            for layer in features.get_layer("trunk").layers
            if isinstance(layer, layers.BatchNormalization)
        ]
        pixels = read_pixels(train.paths, config.image_size)
        order = np.random.default_rng(0).permutation(len(pixels))
        for step, start in enumerate(range(0, len(order), 64)):
            for norm in norms:
                norm.momentum = step / (step + 1)  # so that they end as the mean over all batches
            features(pixels[order[start : start + 64]], training=True)
        for norm in norms:
            norm.momentum = MOMENTUM
    return features


def freeze(features: keras.Model, config: TransferConfig) -> None:
    """Fix the layers of the trunk up to `config.frozen`, that one included.

    With `keep_norm` also the means and variances of a pre-trained trunk.
    """
    keep_norm = config.keep_norm and config.weights != "none"
    inner = features.get_layer("trunk").layers
    last = [layer.name for layer in inner].index(config.frozen) if config.frozen else -1
    for number, layer in enumerate(inner):
        kept = isinstance(layer, layers.BatchNormalization) and keep_norm
        if number <= last or kept:
            layer.trainable = False


def frozen_features(
    features: keras.Model, config: TransferConfig, examples: Examples
) -> np.ndarray:
    """float32 [N, D] of the trunk before tuning; made once for the same weights and pictures."""
    digest = hashlib.sha256(f"{config.taps} {config.image_size}".encode())
    for weight in features.weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    for path in examples.paths:
        digest.update(Path(path).read_bytes())
    kept = FEATURES / f"{digest.hexdigest()[:32]}.npy"
    if not kept.is_file():
        print(f"features of {len(examples)} pictures at {', '.join(config.taps)}", flush=True)
        pixels = read_pixels(examples.paths, config.image_size)
        file = BytesIO()
        np.save(file, predict_on(features, pixels))
        write_bytes(kept, file.getvalue())
    return np.load(kept)


def probe(
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray] | None,
    chosen: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel [D, C] and bias [C] of a logistic regression.

    chosen: how freely it may fit (scikit-learn's C). None: the least for which the loss on val is
    within a standard error of the best (Hastie et al. 2009, section 7.10); `BLIND_C` without val.
    """
    scaler = StandardScaler().fit(train[0])
    inputs = scaler.transform(train[0])

    def fit(strength: float) -> LogisticRegression:
        linear = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
        return linear.fit(inputs, train[1])

    if chosen or val is None:
        linear = fit(chosen or BLIND_C)
    else:
        fits = [fit(strength) for strength in (1e-4, 1e-3, 1e-2, 1e-1)]
        val_inputs = scaler.transform(val[0])
        losses = np.stack([_losses(one.predict_proba(val_inputs), val[1]) for one in fits])
        best = losses[losses.mean(axis=1).argmin()]
        enough = best.mean() + best.std() / np.sqrt(len(best))
        linear = fits[int((losses.mean(axis=1) <= enough).argmax())]
    coefficients = linear.coef_ / scaler.scale_
    intercept = linear.intercept_ - coefficients @ scaler.mean_
    if len(coefficients) == 1:  # two classes: scikit-learn has the second one's line only
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    return coefficients.T, intercept


def _losses(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """float [N]: -log of the true class's score, of scores [N, C]."""
    return -np.log(np.clip(scores[np.arange(len(truth)), truth], 1e-7, 1))
