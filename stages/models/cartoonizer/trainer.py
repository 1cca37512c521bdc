"""White-box cartoonization's training steps (Wang & Yu, CVPR 2020, section 3)."""

from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from stages.models.cartoonizer.config import CartoonizerConfig
from stages.models.cartoonizer.features import Features, gradients
from stages.models.cartoonizer.graph import drawing_of
from stages.models.cartoonizer.losses import colour_loss, without_rim
from stages.models.cartoonizer.networks import (
    discriminator,
    generator,
    surface,
    texture,
    to_pixels,
    to_unit,
    total_variation,
)
from stages.models.cartoonizer.superpixels import structure
from stages.models.common import released_weights
from stages.models.common.served_image_model import image_predictor

RELEASED = Path(__file__).parent / "released.npz"
STYLE_UPDATE = 0.025  # share of each new picture in the running mean of style features


class Trainer:
    """Generator, discriminators and their optimizers; one step at a time.

    Args:
        config: of the cartoonizer.
        features: a frozen network that compares pictures.
        photo_styles, drawing_styles: style features of some photos and of some drawings, as
            `Features.style_features_of` gives them.
        init_key: of `init` in params.yaml, for errors.

    Raises:
        UserError: the weights that `init` names can't be had.
    """

    def __init__(
        self,
        config: CartoonizerConfig,
        features: Features,
        photo_styles: list[np.ndarray],
        drawing_styles: list[np.ndarray],
        init_key: str,
    ) -> None:
        self.config = config
        self.features = features
        self.generator = generator(config.channels, config.blocks)
        self.discriminators = {
            "surface": discriminator(config.discriminator_channels, 3),
            "texture": discriminator(config.discriminator_channels, 1),
        }
        released_weights.load(self.generator, config.init, RELEASED, init_key)
        self.predictor = image_predictor(partial(drawing_of, model=self.generator))
        # The discriminators know nothing at first, so what they say counts little.
        warm_up = config.steps // 20
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            max(1, config.steps - warm_up),
            warmup_target=config.learning_rate,
            warmup_steps=warm_up,
        )
        self.optimizers = [
            keras.optimizers.Adam(schedule, beta_1=0.5, beta_2=0.99) for _ in range(3)
        ]
        networks = [self.generator, *self.discriminators.values()]
        for optimizer, network in zip(self.optimizers, networks, strict=True):
            optimizer.build(network.trainable_variables)
        # A running mean of the results' style features; it begins as that of photos.
        self.result_style = [tf.Variable(one.mean(axis=0)) for one in photo_styles]
        self.target_style = [tf.constant(one.mean(axis=0)) for one in drawing_styles]
        self.style_variance = [one.var(axis=0).mean() for one in drawing_styles]
        self.checkpoint = tf.train.Checkpoint(
            networks=networks,
            optimizers=self.optimizers,
            result_style=self.result_style,
            step=tf.Variable(0, dtype=tf.int64),
        )

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.checkpoint.step)

    def terms(self, x: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The drawing of photos `x`, and each loss of the generator before it is weighted."""
        y = self.generator(x, training=True)
        flat = tf.numpy_function(self._structures, [to_pixels(y)], tf.uint8)
        flat.set_shape(y.shape)
        near = self.features.content_features(y)
        wanted = {"surface": surface(y), "texture": texture(y, weights)}
        return y, {
            **{
                name: ops.mean((network(wanted[name], training=False) - 1) ** 2)
                for name, network in self.discriminators.items()
            },
            "structure": ops.mean(ops.abs(near - self.features.content_features(to_unit(flat)))),
            "content": ops.mean(ops.abs(near - self.features.content_features(x))),
            "colour": colour_loss(y, x),
            "variation": total_variation(y),
            "style": self._style(y),
        }

    def _style(self, y: tf.Tensor) -> tf.Tensor:
        """Squared distance of the mean style features of results from those of drawings.

        Over the variance of the latter; ours, not the paper's. At all depths of the features, of
        which the last counts as much as the others together. A batch is too small for a mean, so
        its own is mixed into a running one; the gradient goes through the batch as if it were all.
        """
        if self.config.weights.style == 0:
            return tf.constant(0.0)
        share = min(1.0, STYLE_UPDATE * self.config.batch_size)
        apart = []
        for depth, features in enumerate(self.features.style_features(without_rim(y))):
            now = ops.mean(features, axis=0)
            mean = (1 - share) * self.result_style[depth] + share * now
            self.result_style[depth].assign(mean)
            mean = tf.stop_gradient(mean - now) + now
            apart.append(
                ops.mean((mean - self.target_style[depth]) ** 2) / self.style_variance[depth]
            )
        *others, last = apart
        return (last + sum(others) / len(others)) / 2 if others else last

    def _structures(self, pixels: np.ndarray) -> np.ndarray:
        return np.stack([structure(one, self.config.superpixels) for one in pixels])

    @tf.function
    def pretrain_step(self, photos: tf.Tensor, flat: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step of the generator alone, from photos to flat ones, both uint8 [N, S, S, 3].

        By pixels and their differences, so that borders stay sharp.
        """
        x, wanted = to_unit(photos), to_unit(flat)
        with tf.GradientTape() as tape:
            y = self.generator(x, training=True)
            loss = ops.mean(ops.abs(gradients(y) - gradients(wanted)))
        self._descend(0, tape, loss, self.generator)
        return {"flatness": loss}

    @tf.function
    def train_step(
        self, photos: tf.Tensor, drawings: tf.Tensor, weights: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """One step of all three networks on uint8 [N, S, S, 3] each; weights of the texture."""
        x, d = to_unit(photos), to_unit(drawings)
        with tf.GradientTape() as tape:
            y, terms = self.terms(x, weights)
            loss = sum(getattr(self.config.weights, name) * term for name, term in terms.items())
        self._descend(0, tape, loss, self.generator)
        measured = {"loss": loss, **terms}
        y = tf.stop_gradient(y)
        for place, (name, real, ours) in enumerate(
            [
                ("surface", surface(d), surface(y)),
                ("texture", texture(d, weights), texture(y, weights)),
            ],
            start=1,
        ):
            network = self.discriminators[name]
            with tf.GradientTape() as tape:
                of_real = network(real, training=True)
                of_ours = network(ours, training=True)
                loss = (ops.mean((of_real - 1) ** 2) + ops.mean(of_ours**2)) / 2
            self._descend(place, tape, loss, network)
            measured[f"discriminator_{name}"] = loss
        return measured

    def _descend(
        self, place: int, tape: tf.GradientTape, loss: tf.Tensor, net: keras.Model
    ) -> None:
        gradients = tape.gradient(loss, net.trainable_variables)
        self.optimizers[place].apply_gradients(zip(gradients, net.trainable_variables, strict=True))

    def grad_norms(self, photos: tf.Tensor, weights: np.ndarray) -> dict[str, float]:
        """Norm of the gradient of each weighted loss at the drawing."""
        with tf.GradientTape(persistent=True) as tape:
            y, terms = self.terms(to_unit(photos), tf.constant(weights))
            weighted = {n: getattr(self.config.weights, n) * term for n, term in terms.items()}
        return {
            f"grad_norm_{name}": float(
                tf.norm(tape.gradient(term, y, unconnected_gradients="zero"))
            )
            for name, term in weighted.items()
        }
