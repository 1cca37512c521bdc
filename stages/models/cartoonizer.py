"""Photo to drawing: white-box cartoonization (Wang & Yu, CVPR 2020).

One generator, and a loss for each thing that makes a drawing: its surface and its texture are
judged by a discriminator each, its structure must be that of flat regions, its content that of the
photo. Photos and drawings are not paired.
"""

import json
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import keras
import mlflow
import numpy as np
import tensorflow as tf
from keras import ops
from tqdm import tqdm

from celflow import parallel
from celflow.files import atomic_dir, write_json
from celflow.images import read_image
from celflow.params import Cartoonizer, Params
from celflow.representations import flattened, strip
from celflow.superpixels import structure
from celflow import manifest
from celflow.manifest import Split, Examples
from stages.models import Draw, Log
from stages.models import weights as released
from stages.models.features import Features, gradients, kernel_distance
from stages.models.graph import variables
from stages.models.picture import PictureModel, drawing, tiled
from stages.models.whitebox import (
    REACH,
    STRIDE,
    discriminator,
    generator,
    refined,
    surface,
    texture,
    to_pixels,
    to_unit,
    total_variation,
)

MODEL_FILE = "generator.keras"
SIDE = 288  # px, the shorter side of pictures that crops are taken from
SHOWN = 256  # px, of the pictures that are measured and shown
STRIPS = 4
KINDS_OF = 200  # crops whose kinds are averaged before training
NEW = 0.025  # share of each new picture in the running mean of their kind
MEASURED = 60  # photos, at most


class Trainer:
    """Generator, discriminators and their optimizers; one step at a time."""

    def __init__(
        self,
        knobs: Cartoonizer,
        features: Features,
        photos: list[np.ndarray],
        drawings: list[np.ndarray],
    ) -> None:
        """photos, drawings: the kinds of some, as `features.kinds_of` gives them."""
        self.knobs = knobs
        self.features = features
        self.generator = generator(knobs.channels, knobs.blocks)
        self.judges = {
            "surface": discriminator(knobs.judge_channels, 3),
            "texture": discriminator(knobs.judge_channels, 1),
        }
        released.load(self.generator, knobs.init, "cartoonizer")
        self.draw = drawing(partial(drawn, model=self.generator))
        # The judges know nothing at first, so what they say counts little.
        warm_up = knobs.steps // 20
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            max(1, knobs.steps - warm_up),
            warmup_target=knobs.learning_rate,
            warmup_steps=warm_up,
        )
        self.optimizers = [
            keras.optimizers.Adam(schedule, beta_1=0.5, beta_2=0.99) for _ in range(3)
        ]
        networks = [self.generator, *self.judges.values()]
        for optimizer, network in zip(self.optimizers, networks, strict=True):
            optimizer.build(network.trainable_variables)
        # The kind of what was drawn of late begins as that of photos.
        self.lately = [tf.Variable(kinds.mean(axis=0)) for kinds in photos]
        self.wanted = [tf.constant(kinds.mean(axis=0)) for kinds in drawings]
        self.spread = [kinds.var(axis=0).mean() for kinds in drawings]
        self.checkpoint = tf.train.Checkpoint(
            networks=networks,
            optimizers=self.optimizers,
            lately=self.lately,
            step=tf.Variable(0, dtype=tf.int64),
        )

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.checkpoint.step)

    def terms(self, x: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The drawing of photos `x`, and each loss of the generator before it is weighed."""
        y = refined(x, self.generator(x, training=True))
        flat = tf.numpy_function(self._structures, [to_pixels(y)], tf.uint8)
        flat.set_shape(y.shape)
        near = self.features.near(y)
        wanted = {"surface": surface(y), "texture": texture(y, weights)}
        return y, {
            **{
                name: ops.mean((judge(wanted[name], training=False) - 1) ** 2)
                for name, judge in self.judges.items()
            },
            "structure": ops.mean(ops.abs(near - self.features.near(to_unit(flat)))),
            "content": ops.mean(ops.abs(near - self.features.near(x))),
            "colour": _colour(y, x),
            "variation": total_variation(y),
            "style": self._style(y),
        }

    def _structure(self, y: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        return ops.mean(ops.abs(self.features.near(y) - self.features.near(wanted)))

    def _style(self, y: tf.Tensor) -> tf.Tensor:
        """Squared distance of the mean kind of recent results from that of drawings, over theirs.

        Ours, not the paper's; at all depths of the features, of which the last counts as much as
        the others together. Few pictures have no mean worth the name, so theirs is mixed into a
        running one; the gradient goes through the new ones, as if they were all.
        """
        if self.knobs.weights.style == 0:
            return tf.constant(0.0)
        share = min(1.0, NEW * self.knobs.batch_size)
        apart = []
        for depth, kinds in enumerate(self.features.kinds(inner(y))):
            now = ops.mean(kinds, axis=0)
            mean = (1 - share) * self.lately[depth] + share * now
            self.lately[depth].assign(mean)
            mean = tf.stop_gradient(mean - now) + now
            apart.append(ops.mean((mean - self.wanted[depth]) ** 2) / self.spread[depth])
        *others, last = apart
        return (last + sum(others) / len(others)) / 2 if others else last

    def _structures(self, pixels: np.ndarray) -> np.ndarray:
        return np.stack([structure(one, self.knobs.superpixels) for one in pixels])

    @tf.function
    def pretrain_step(self, photos: tf.Tensor, flat: tf.Tensor) -> dict:
        """One step of the generator alone, from photos to flat ones, both uint8 [N, S, S, 3].

        By pixels and their differences, so that borders stay sharp; and by `structure`, `colour`
        and `style`, as they are weighed.
        """
        x, wanted = to_unit(photos), to_unit(flat)
        weights = self.knobs.weights
        with tf.GradientTape() as tape:
            y = refined(x, self.generator(x, training=True))
            terms = {
                "flatness": ops.mean(ops.abs(gradients(y) - gradients(wanted))),
                "structure": self._structure(y, wanted),
                "colour": _colour(y, wanted),
                "style": self._style(y),
            }
            loss = sum(getattr(weights, name, 1.0) * term for name, term in terms.items())
        self._descend(0, tape, loss, self.generator)
        return {"pretrain_loss": loss, **terms}

    @tf.function
    def train_step(self, photos: tf.Tensor, drawings: tf.Tensor, weights: tf.Tensor) -> dict:
        """One step of all three networks on uint8 [N, S, S, 3] each; weights of the texture."""
        x, d = to_unit(photos), to_unit(drawings)
        with tf.GradientTape() as tape:
            y, terms = self.terms(x, weights)
            loss = sum(getattr(self.knobs.weights, name) * term for name, term in terms.items())
        self._descend(0, tape, loss, self.generator)
        figures = {"loss": loss, **terms}
        y = tf.stop_gradient(y)
        for place, (name, real, ours) in enumerate(
            [
                ("surface", surface(d), surface(y)),
                ("texture", texture(d, weights), texture(y, weights)),
            ],
            start=1,
        ):
            judge = self.judges[name]
            with tf.GradientTape() as tape:
                judged = judge(real, training=True), judge(ours, training=True)
                loss = (ops.mean((judged[0] - 1) ** 2) + ops.mean(judged[1] ** 2)) / 2
            self._descend(place, tape, loss, judge)
            figures[f"judge_{name}"] = loss
        return figures

    def _descend(
        self, place: int, tape: tf.GradientTape, loss: tf.Tensor, net: keras.Model
    ) -> None:
        gradients = tape.gradient(loss, net.trainable_variables)
        self.optimizers[place].apply_gradients(zip(gradients, net.trainable_variables, strict=True))

    def pulls(self, photos: tf.Tensor, weights: np.ndarray) -> dict[str, float]:
        """How hard each weighed loss pulls at the drawing: the norm of its gradient there."""
        with tf.GradientTape(persistent=True) as tape:
            y, terms = self.terms(to_unit(photos), tf.constant(weights))
            weighed = {n: getattr(self.knobs.weights, n) * term for n, term in terms.items()}
        return {
            f"pull_{name}": float(tf.norm(tape.gradient(term, y, unconnected_gradients="zero")))
            for name, term in weighed.items()
        }


def inner(x: Any) -> Any:
    """Crops [..., S, S, C] without their rim, a sixteenth on each side.

    Drawings have frames, and the generator knows a rim by its padding: it would paint some, too.
    """
    rim = x.shape[-2] // 16
    return x[..., rim:-rim, rim:-rim, :]


def _colour(y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """How far the colours of pictures [N, H, W, 3] lie apart.

    Light counts as the mean of 8 x 8 px, so that lines may be drawn; hue and strength of colour
    count in every pixel, and squared, so that they are drawn in black and white.
    """
    apart = y - x
    grey = ops.mean(apart, axis=-1, keepdims=True)
    return 10 * ops.mean((apart - grey) ** 2) + ops.mean(ops.abs(ops.average_pool(apart, 8)))


class Crops:
    """Squares of pictures, drawn at random but the same for the same seed and step."""

    def __init__(self, paths: list[str], side: int) -> None:
        self._pictures = [_short_side(path, SIDE) for path in paths]
        self._side = side

    def flattened(self, backend: str) -> "Crops":
        """The same crops of the same pictures, flattened."""
        flat = copy(self)
        flat._pictures = parallel.parallel_map(flattened, self._pictures, backend, "flatten")
        return flat

    def __call__(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """uint8 [N, S, S, 3]."""
        return np.stack([self._one(rng) for _ in range(count)])

    def _one(self, rng: np.random.Generator) -> np.ndarray:
        picture = self._pictures[rng.integers(len(self._pictures))]
        top, left = (rng.integers(n - self._side + 1) for n in picture.shape[:2])
        crop = picture[top : top + self._side, left : left + self._side]
        return crop[:, ::-1] if rng.random() < 0.5 else crop


def fit(params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log) -> None:
    """Train on the photos and drawings of train, and on faces at a rate.

    With 0 steps the model is what `init` says.
    """
    knobs = params.train.cartoonizer
    keras.utils.set_random_seed(params.seed)
    features = Features(knobs.features)
    print(f"content and structure are compared by {features.name}", flush=True)
    photos, drawings = (Crops(of(splits["train"], kind), knobs.image_size) for kind in KINDS)
    count = KINDS_OF if knobs.weights.style > 0 else 1
    seen = [
        features.kinds_of([inner(c) for c in crops(np.random.default_rng(params.seed), count)])
        for crops in (photos, drawings)
    ]
    trainer = Trainer(knobs, features, *seen)
    flat = photos.flattened(params.data.backend) if knobs.pretrain else photos
    faces = drawings
    if knobs.face_rate > 0:
        faces = Crops(manifest.read("characters")["train"].paths, knobs.image_size)
    shown = [square(path) for path in of(splits["val"], "photo")[:STRIPS]]

    last = scratch / "last"
    history: list[tuple[int, dict[str, float]]] = []
    if last.is_dir():
        trainer.checkpoint.read(str(last / "state")).assert_consumed()
        history = json.loads((last / "history.json").read_text())
        print(f"resumes after step {trainer.step}")
    for step, figures in history:
        log(step, figures)
    if knobs.steps == 0:
        log(0, {})
    recent: list[dict[str, float]] = []
    for step in tqdm(range(trainer.step, knobs.steps), "cartoonizer", mininterval=5):
        key = [params.seed, step]
        x = tf.constant(photos(np.random.default_rng(key), knobs.batch_size))
        pretrains = step < knobs.pretrain
        if pretrains:
            wanted = flat(np.random.default_rng(key), knobs.batch_size)
            made = trainer.pretrain_step(x, tf.constant(wanted))
        else:
            rng = np.random.default_rng([*key, 1])
            drawn = (faces if rng.random() < knobs.face_rate else drawings)(rng, knobs.batch_size)
            weights = rng.uniform(-1, 1, (knobs.batch_size, 3)).astype(np.float32)
            made = trainer.train_step(x, tf.constant(drawn), tf.constant(weights))
        recent.append({name: float(value) for name, value in made.items()})
        trainer.checkpoint.step.assign(step + 1)
        if (step + 1) % knobs.log_every == 0 or step + 1 in (knobs.pretrain, knobs.steps):
            figures = {name: float(np.mean([one[name] for one in recent])) for name in recent[0]}
            if not pretrains:
                figures |= trainer.pulls(x, weights)
            recent = []
            log(step, figures)
            _log_strip(trainer, shown, step + 1)
            history.append((step, figures))
            with atomic_dir(last) as beside:
                trainer.checkpoint.write(str(beside / "state"))
                write_json(beside / "history.json", history)
    folder.mkdir(parents=True, exist_ok=True)
    trainer.generator.save(folder / MODEL_FILE)


KINDS = ("photo", "cartoon")


def of(pictures: Examples, kind: str) -> list[str]:
    """Paths of the photos or of the drawings."""
    return [
        path
        for path, number in zip(pictures.paths, pictures.truth, strict=True)
        if pictures.labels[number] == kind
    ]


def square(path: str, side: int = SHOWN) -> np.ndarray:
    """uint8 [S, S, 3]: the middle of a picture file."""
    picture = _short_side(path, side)
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def _short_side(path: str, side: int) -> np.ndarray:
    pixels = read_image(Path(path)).pixels
    scale = side / min(pixels.shape[:2])
    width, height = (max(side, round(n * scale)) for n in pixels.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, (width, height), interpolation=how)


def _log_strip(trainer: Trainer, shown: list[np.ndarray], step: int) -> None:
    rows = [strip(pixels, trainer.draw(pixels), trainer.knobs.superpixels) for pixels in shown]
    if rows and mlflow.active_run():
        mlflow.log_image(np.concatenate(rows), key="strip", step=step)


def painter(folder: Path) -> Draw:
    """The trained model, without styles: what is served."""
    return drawing(partial(drawn, model=keras.models.load_model(folder / MODEL_FILE)))


def drawn(
    image: tf.Tensor, model: keras.Model, sharpness: float = 0.5, abstraction: float = 0.0
) -> tf.Tensor:
    """The drawing of a photo, both uint8 [H, W, 3]; styles from 0 to 1 as `export` has them."""
    epsilon = 5e-3 * 10.0 ** (2 - 4 * sharpness)

    def paint(pixels: tf.Tensor) -> tf.Tensor:
        x = pixels / 127.5 - 1
        x = tf.cond(  # the surface takes as long as the network
            tf.convert_to_tensor(abstraction) > 0,
            lambda: (1 - abstraction) * x + abstraction * surface(x),
            lambda: x,
        )
        return (refined(x, model(x, training=False), epsilon) + 1) * 127.5

    return tiled(image, paint, STRIDE, REACH)


def measure(
    draw: Draw, params: Params, splits: dict[Split, Examples]
) -> tuple[dict[str, float], np.ndarray]:
    """Figures of test photos' middles, 256 px, and a sheet of strips, uint8 [H, W, 3].

    `kid_before`, `kid_after`: kernel inception distance of photos and of results to test drawings;
    `style_gain`: by how much it fell, 1 is all, 0 where photos lay no further off than drawings;
    `content_distance`: to the photo;
    `edge_sharpness`: mean difference of neighbouring pixels, over the photo's.
    """
    features = Features(params.train.cartoonizer.features)
    photos, drawings = (
        [square(path) for path in of(splits["test"], kind)[:MEASURED]] for kind in KINDS
    )
    results = [draw(photo) for photo in photos]
    figures = compared(features, photos, results, features.pooled(drawings))
    method = params.train.cartoonizer.superpixels
    pairs = list(zip(photos, results, strict=True))[:6]
    return figures, np.concatenate([strip(*pair, method) for pair in pairs])


def compared(
    features: Features, photos: list[np.ndarray], results: list[np.ndarray], drawings: np.ndarray
) -> dict[str, float]:
    """The figures of `measure`; `drawings` are pooled features, [N, D]."""
    before = kernel_distance(features.pooled(photos), drawings)
    after = kernel_distance(features.pooled(results), drawings)
    pairs = list(zip(results, photos, strict=True))
    return {
        "kid_before": before,
        "kid_after": after,
        "style_gain": 1 - after / before if before > 0 else 0.0,
        "content_distance": float(np.mean([features.distance(*pair) for pair in pairs])),
        "edge_sharpness": float(np.mean([_edges(ours) / _edges(photo) for ours, photo in pairs])),
    }


def _edges(pixels: np.ndarray) -> float:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) + 1e-3


def export(folder: Path, labels: list[str]) -> PictureModel:
    """The trained generator; signature `styled` takes `sharpness` and `abstraction`, 0 to 1, too.

    sharpness: how closely the result follows the photo's edges; 0.5 is the published filter.
    abstraction: how much of the photo's detail is smoothed away before it is drawn; 0 is none.
    """
    model = keras.models.load_model(folder / MODEL_FILE)

    def draw(image: tf.Tensor, *styles: tf.Tensor) -> tf.Tensor:
        return drawn(image, model, *styles)

    styles = ("sharpness", "abstraction")
    ways = {"serving_default": ((), draw), "pixels": ((), draw), "styled": (styles, draw)}
    return PictureModel(ways, variables(model))
