"""Training on several devices (mirrored) or machines (multiworker): gradients are all-reduced.

`model.fit` of Keras 3 fails under MultiWorkerMirroredStrategy (docs/scale.md), so both strategies
have a step of their own here. All workers read the same pictures and the same checkpoint, so they
share a file system; the first one, the chief, alone writes.
"""

import os
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from celflow.errors import UserError
from stages.models.common.cluster import CLUSTER_VARIABLE
from stages.models.common.training_loop import Batches, Metrics, prefetch


class Distribution:
    """A network on all devices of a strategy.

    name: `mirrored` (all GPUs of this machine, or all logical CPUs where there is none) or
        `multiworker` (the machines that TF_CONFIG names). Before TensorFlow's first operation.
    """

    def __init__(self, name: str) -> None:
        if name == "multiworker":
            if not os.environ.get(CLUSTER_VARIABLE):
                raise UserError(
                    "strategy multiworker: TF_CONFIG is not set; set it on every worker, as"
                    " docs/scale.md shows"
                )
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        else:
            kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
            devices = [device.name for device in tf.config.list_logical_devices(kind)]
            self._strategy = tf.distribute.MirroredStrategy(devices)

    def scope(self) -> AbstractContextManager[Any]:
        """Where the network and its optimizer must be made or loaded."""
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def use(self, network: keras.Model) -> None:
        """Train and ask this compiled network from now on."""
        strategy, variables = self._strategy, network.trainable_variables
        with strategy.scope():  # a step may make no variables
            network.optimizer.build(variables)

        def learn(
            pixels: tf.Tensor, truth: tf.Tensor, weights: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                scores = network(pixels, training=True)
                # Under a strategy Keras divides a loss by the devices, and adds up the gradients.
                loss = network.loss(truth, scores, sample_weight=weights)
            gradients = tape.gradient(loss, variables)
            network.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            right = keras.metrics.categorical_accuracy(truth, scores)
            return loss, tf.reduce_sum(right * tf.sign(weights))

        @tf.function(reduce_retracing=True)
        def step(batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
            loss, right = strategy.run(learn, args=batch)
            return strategy.reduce("SUM", loss, axis=None), strategy.reduce("SUM", right, axis=None)

        moving = [v for v in network.non_trainable_variables if v.dtype == "float32"]

        @tf.function
        def average() -> None:
            def averaged() -> None:
                context = tf.distribute.get_replica_context()
                for variable in moving:
                    variable.assign(context.all_reduce("MEAN", tf.identity(variable.value)))

            strategy.run(averaged)

        self._step = step
        self._average = average  # batch normalisation's: each device has its own of its share
        self._answer = tf.function(lambda x: network(x, training=False), reduce_retracing=True)

    def train_epoch(self, batches: Batches) -> Metrics:
        """As `training_loop.train_epoch`; every device takes its share of each batch."""
        done = []
        for batch in prefetch(batches):
            loss, right = self._step(self._shares(batch))
            done.append((len(batch[0]), float(loss), float(right)))
        self._average()
        sizes, losses, right = np.array(done).T
        return {
            "accuracy": float(right.sum() / sizes.sum()),
            "loss": float(np.average(losses, weights=sizes)),
        }

    def predict_on(self, pixels: np.ndarray) -> np.ndarray:
        """As `training_loop.predict_on`, on the first device: Keras would answer once on each."""
        parts = (pixels[i : i + 32] for i in range(0, len(pixels), 32))
        return np.concatenate([self._answer(part).numpy() for part in parts])

    def _shares(self, batch: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
        count = self._strategy.num_replicas_in_sync
        arrays = even(batch, count)

        def share(array: np.ndarray) -> Any:
            return self._strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(array[context.replica_id_in_sync_group :: count])
            )

        return tuple(share(array) for array in arrays)


def even(batch: tuple[np.ndarray, ...], count: int) -> tuple[np.ndarray, ...]:
    """Pixels, truth and weights, so that the mean loss of `count` equal shares is the batch's.

    Examples are repeated, without weight, until all shares are equal.
    """
    pixels, truth, weights = batch
    size = len(weights)
    order = np.resize(np.arange(size), -(-size // count) * count)
    scaled = weights[order] * (len(order) / size)
    scaled[size:] = 0
    return pixels[order], truth[order], scaled.astype(np.float32)
