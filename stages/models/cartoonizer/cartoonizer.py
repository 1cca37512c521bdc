"""Photo to drawing: white-box cartoonization (Wang & Yu, CVPR 2020).

One generator, and a loss for each thing that makes a drawing: a discriminator each looks at its
surface and its texture, its structure must be that of flat regions, its content that of the photo.
Photos and drawings are not paired.
"""

import json
from functools import partial
from pathlib import Path

import keras
import mlflow
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from celflow.files import atomic_dir, write_json
from celflow.images import encode_png
from stages.models.cartoonizer.config import CartoonizerConfig
from stages.models.cartoonizer.data import Crops, paths_of, short_side, square
from stages.models.cartoonizer.features import Features
from stages.models.cartoonizer.flattening import lit
from stages.models.cartoonizer.graph import drawing_of
from stages.models.cartoonizer.losses import without_rim
from stages.models.cartoonizer.measures import compare
from stages.models.cartoonizer.representations import strip
from stages.models.cartoonizer.trainer import Trainer
from stages.models.common import keras_files
from stages.models.common.keras_files import MODEL_FILE, variables
from stages.models.common.model import ImagePredictor, ImageToImage, Log, Report, Splits
from stages.models.common.served_image_model import ServedImageModel, image_predictor

LABELS = ("photo", "cartoon")
STRIPS = 4  # photos that MLflow shows on the way
STYLE_CROPS = 200  # whose style features are averaged before training
MEASURED = 60  # photos, at most
SHOWN = 6  # photos on the sheet

Metrics = dict[str, float]


class Cartoonizer(ImageToImage[CartoonizerConfig]):
    """One generator, trained by what makes a drawing."""

    config_class = CartoonizerConfig
    tasks = ("cartoonize",)

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Train on the photos and drawings of train; with 0 steps the model is what `init` says."""
        config, seed = self.config, self.params.seed
        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        features = Features(config.features)
        print(f"content and structure are compared by {features.name}", flush=True)
        pictures = [
            [short_side(path) for path in paths_of(splits["train"], label)] for label in LABELS
        ]
        photos = Crops([lit(photo) for photo in pictures[0]], config.image_size)
        drawings = Crops(pictures[1], config.image_size)
        count = STYLE_CROPS if config.weights.style > 0 else 1
        photo_styles, drawing_styles = (
            features.style_features_of(
                [without_rim(crop) for crop in crops(np.random.default_rng(seed), count)]
            )
            for crops in (photos, drawings)
        )
        init_key = f"train.{self.name}.init"
        trainer = Trainer(config, features, photo_styles, drawing_styles, init_key)
        shown = [square(path) for path in paths_of(splits["val"], "photo")[:STRIPS]]

        history = _restore(trainer, checkpoint_dir / "last")
        for step, measured in history:
            log(step, measured)
        if config.steps == 0:
            log(0, {})
        recent: list[Metrics] = []
        for step in tqdm(range(trainer.step, config.steps), self.name, mininterval=5):
            key = [seed, step]
            x = tf.constant(photos(np.random.default_rng(key), config.batch_size))
            if step < config.pretrain:
                target = photos.flattened(np.random.default_rng(key), config.batch_size)
                done = trainer.pretrain_step(x, tf.constant(target))
            else:
                rng = np.random.default_rng([*key, 1])
                drawn = drawings(rng, config.batch_size)
                weights = rng.uniform(-1, 1, (config.batch_size, 3)).astype(np.float32)
                done = trainer.train_step(x, tf.constant(drawn), tf.constant(weights))
            recent.append({name: float(value) for name, value in done.items()})
            trainer.checkpoint.step.assign(step + 1)
            if (step + 1) % config.log_every == 0 or step + 1 in (config.pretrain, config.steps):
                means = {name: float(np.mean([one[name] for one in recent])) for name in recent[0]}
                if step >= config.pretrain:
                    means |= trainer.grad_norms(x, weights)
                recent = []
                log(step, means)
                _log_strip(trainer, shown, step + 1)
                history.append((step, means))
                with atomic_dir(checkpoint_dir / "last") as beside:
                    trainer.checkpoint.write(str(beside / "state"))
                    write_json(beside / "history.json", history)
        keras_files.save(trainer.generator, folder / MODEL_FILE)

    def predictor(self, folder: Path) -> ImagePredictor:
        """The trained model, without styles: what is served."""
        return image_predictor(partial(drawing_of, model=keras_files.load(folder)))

    def measure(self, predictor: ImagePredictor, splits: Splits) -> Report:
        """`measures.compare` of test photos' middles, 256 px, and a sheet of strips."""
        features = Features(self.config.features)
        photos, drawings = (
            [square(path) for path in paths_of(splits["test"], label)[:MEASURED]]
            for label in LABELS
        )
        measured, results = compare(features, predictor, photos, drawings)
        pairs = list(zip(photos, results, strict=True))[:SHOWN]

        def draw() -> dict[str, bytes]:
            strips = [strip(*pair, self.config.superpixels) for pair in pairs]
            return {"sheet": encode_png(np.concatenate(strips))}

        return Report({**measured}, draw)

    def export(self, folder: Path, labels: list[str]) -> ServedImageModel:
        """The trained generator; signature `styled` takes `strength` and `abstraction`, 0 to 1.

        strength: from the photo, 0, to the drawing, 1.
        abstraction: with more, regions are larger and fewer, and so are colours; 0 is none.
        """
        model = keras_files.load(folder)

        def draw(image: tf.Tensor, *styles: tf.Tensor) -> tf.Tensor:
            return drawing_of(image, model, *styles)

        styles = ("strength", "abstraction")
        signatures = {
            "serving_default": ((), draw),
            "pixels": ((), draw),
            "styled": (styles, draw),
        }
        return ServedImageModel(signatures, variables(model))


def _restore(trainer: Trainer, last: Path) -> list[tuple[int, Metrics]]:
    """Take up an interrupted fit; returns the steps that were logged, with their metrics."""
    if not last.is_dir():
        return []
    trainer.checkpoint.read(str(last / "state")).assert_consumed()
    print(f"resumes after step {trainer.step}")
    return [(step, metrics) for step, metrics in json.loads((last / "history.json").read_text())]


def _log_strip(trainer: Trainer, shown: list[np.ndarray], step: int) -> None:
    superpixels = trainer.config.superpixels
    rows = [strip(pixels, trainer.predictor(pixels), superpixels) for pixels in shown]
    if rows and mlflow.active_run():
        mlflow.log_image(np.concatenate(rows), key="strip", step=step)
