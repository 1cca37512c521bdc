"""A Keras network that classifies: who writes `build` gets the rest from here."""

from abc import abstractmethod
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from celflow import metrics
from stages.models.common import keras_files, keras_training, training_loop
from stages.models.common.calibration import Calibration
from stages.models.common.cluster import is_chief
from stages.models.common.config import NetworkConfig
from stages.models.common.distribution import Distribution
from stages.models.common.image_ops import read_pixels, resize
from stages.models.common.keras_files import MODEL_FILE, variables
from stages.models.common.model import Classifier, Log, Splits
from stages.models.common.precision import in_precision
from stages.models.common.served_classifier import ServedClassifier
from stages.models.common.training_batches import AugmentedBatches, Relabel
from stages.models.common.training_loop import Metrics, TrainingState, predict_on

NetworkConfigType = TypeVar("NetworkConfigType", bound=NetworkConfig)


class KerasClassifier(Classifier[NetworkConfigType]):
    """A classifier that is one Keras network, pixels [N, S, S, 3], 0 to 255, to probabilities."""

    @abstractmethod
    def build(self, splits: Splits) -> keras.Model:
        """The untrained network: uint8 [N, S, S, 3] to float32 [N, C]; S is `config.image_size`."""

    def loss(self) -> keras.losses.Loss:
        """Of truth, one-hot [N, C], and scores [N, C]: cross-entropy, unless a model says else."""
        return keras.losses.CategoricalCrossentropy(label_smoothing=self.config.label_smoothing)

    def relabel(self, labels: list[str]) -> Relabel | None:
        """What makes other examples of those of train, as `AugmentedBatches` takes it, or none."""
        return None

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Train the network; save it into `folder`.

        With patience, the epoch of lowest validation loss counts; without, or where val has no
        pictures, the last one. A fit
        that was killed goes on after its last checkpoint, and ends with the same weights as one
        that was not.
        """
        config, train, val = self.config, splits["train"], splits["val"]
        compute = config.compute
        folder.mkdir(parents=True, exist_ok=True)
        spread = None if compute.strategy == "none" else Distribution(compute.strategy)
        keras.utils.set_random_seed(self.params.seed)
        if not compute.jit_compile:  # Keras refuses XLA to who wants determinism
            tf.config.experimental.enable_op_determinism()
        val_pixels = read_pixels(val.paths, config.image_size)

        def validate(network: keras.Model) -> Metrics:
            if not len(val):
                return {}
            scores = spread.predict_on(val_pixels) if spread else predict_on(network, val_pixels)
            return {
                "val_loss": metrics.log_loss(val.truth, scores),
                "val_accuracy": metrics.accuracy(val.truth, scores),
            }

        state = self._begun(splits, checkpoint_dir, spread)
        network = state.network
        network.jit_compile = compute.jit_compile  # a saved network forgets it
        # Here, not where it is made: a saved optimizer forgets it.
        network.optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        if spread:
            spread.use(network)
        for epoch, measured in enumerate(state.history):
            log(epoch, measured)
        if config.epochs == 0:  # a transfer network is fitted, a little, when it is built
            log(0, validate(network))
            keras_files.save(network, folder / MODEL_FILE)
            return

        pixels = read_pixels(train.paths, config.image_size)
        relabel = self.relabel(train.labels)

        def batches(epoch: int) -> AugmentedBatches:
            return AugmentedBatches(
                pixels, train.truth, config.batch_size, config.augment, self.params.seed, epoch,
                relabel, network.output_shape[-1],
            )  # fmt: skip

        def one_epoch(epoch: int) -> Metrics:
            training_loop.reseed(network, self.params.seed, epoch)
            epoch_batches = batches(epoch)
            if spread:
                return spread.train_epoch(epoch_batches) | validate(network)
            return training_loop.train_epoch(network, epoch_batches) | validate(network)

        if config.trainer == "fast_loop":
            training_loop.run_epochs(
                state, one_epoch, config.epochs, config.patience, folder,
                checkpoint_dir if is_chief() else None, log,
            )  # fmt: skip
        else:
            keras_training.fit(
                network, batches, validate, config.epochs, config.patience,
                self.params.seed, folder, checkpoint_dir, log,
            )  # fmt: skip
        if compute.precision != "float32":  # what is measured and served is
            keras_files.save(in_precision(keras_files.load(folder), "float32"), folder / MODEL_FILE)

    def predict(self, folder: Path, paths: list[str]) -> np.ndarray:
        """float32 [N, C]: scores of picture files."""
        network = keras_files.load(folder)
        return predict_on(network, read_pixels(paths, network.input_shape[1]))

    def servable(
        self, folder: Path, labels: list[str], calibrated: Calibration
    ) -> ServedClassifier:
        """The trained network behind decoding and resizing."""
        network = keras_files.load(folder)
        side = network.input_shape[1]
        return ServedClassifier(
            labels,
            lambda image: resize(image, side),
            lambda batch: network(batch, training=False),
            variables(network),
            calibrated,
        )

    def _begun(
        self, splits: Splits, checkpoint_dir: Path, spread: Distribution | None
    ) -> TrainingState:
        """What an interrupted fit left, or a new network, compiled."""
        scope = spread.scope if spread else nullcontext
        with scope():
            state = TrainingState.load(checkpoint_dir)
        if state:
            return state
        compute = self.config.compute
        # Outside of the scope, because some networks answer while they are built.
        network = self.build(splits)
        steps = -(-len(splits["train"]) // self.config.batch_size)
        with scope():
            if spread or compute.precision != "float32":
                network = in_precision(network, compute.precision)
            network.compile(
                optimizer=training_loop.optimizer(
                    self.config.epochs, steps, self.config.learning_rate, self.config.weight_decay
                ),
                loss=self.loss(),
                metrics=["accuracy"],
                jit_compile=compute.jit_compile,
            )
        return TrainingState(network)
