"""How does the cartoonizer compare with what people do without it, and how long does it take?

On test photos of a project whose cartoonizer is trained (`--project`), with Inception-v3's weights
(`--weights`): kernel inception distance to its test drawings, content distance, what the judges
say, the project's xception among them if it is trained, time and memory. `--sheet` takes the
released weights and photographs that packages ship, and needs no project: some into
docs/cartoonizer.png, so that people can look, and what `judges` say of all.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from celflow import errors, manifest
from celflow.images import encode_png
from celflow.params import load
from stages.models.cartoonizer import judges, networks, representations, superpixels
from stages.models.cartoonizer.cartoonizer import LABELS
from stages.models.cartoonizer.data import paths_of, square
from stages.models.cartoonizer.features import Features
from stages.models.cartoonizer.graph import drawing_of
from stages.models.cartoonizer.measures import alone, compare
from stages.models.cartoonizer.trainer import RELEASED
from stages.models.common import keras_files, released_weights, table
from stages.models.common.model import ImagePredictor
from stages.models.common.served_image_model import image_predictor
from stages.models.common.training_loop import predict_on
from stages.sample.photos import SOURCES, read_source

MODEL = "cartoonizer"
FOLDER = Path("models") / MODEL
ROOT = Path(__file__).parents[1]
SHEET = ROOT / "docs/cartoonizer.png"
SHOWN = ("astronaut", "chelsea", "coffee", "rocket")
GREY = ("camera", "coins", "grass", "brick", "gravel", "moon")


def opencv_recipe(pixels: np.ndarray) -> np.ndarray:
    """The classic: bilateral filters for flat colours, an adaptive threshold for black lines."""
    smooth = pixels
    for _ in range(7):
        smooth = cv2.bilateralFilter(smooth, d=9, sigmaColor=9, sigmaSpace=7)
    grey = cv2.medianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 7)
    lines = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, blockSize=9, C=2
    )
    return cv2.bitwise_and(smooth, smooth, mask=lines)


def superpixel_mean(pixels: np.ndarray) -> np.ndarray:
    """Every superpixel in its mean colour."""
    labels = superpixels.regions(pixels, "slic")
    flat = np.zeros_like(pixels)
    for number in np.unique(labels):
        flat[labels == number] = pixels[labels == number].mean(axis=0).round()
    return flat


def cartoon_share(folder: Path, pictures: list[np.ndarray]) -> float:
    """Share of pictures that a trained xception takes for cartoons."""
    model = keras_files.load(folder)
    side = model.input_shape[1]
    small = [cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA) for p in pictures]
    return float(np.mean(predict_on(model, np.stack(small)).argmax(axis=1) == 0))


def timed(draw: Callable, pixels: np.ndarray, times: int = 5) -> float:
    """Median seconds of a call, after one that does not count."""
    draw(pixels)
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        draw(pixels)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def released() -> ImagePredictor:
    """The cartoonizer of the weights in this repository."""
    config = load(ROOT / "params.yaml").train[MODEL]
    network = networks.generator(config["channels"], config["blocks"])
    released_weights.load(network, "released", RELEASED, "init")
    return image_predictor(partial(drawing_of, model=network))


def middle(name: str) -> np.ndarray:
    """The middle of a packaged photograph, 256 px square."""
    pixels = read_source(name)
    side = min(pixels.shape[:2])
    top, left = ((n - side) // 2 for n in pixels.shape[:2])
    part = pixels[top : top + side, left : left + side]
    return np.asarray(cv2.resize(part, (256, 256), interpolation=cv2.INTER_AREA))


def sheet(predictor: ImagePredictor) -> np.ndarray:
    """A row a photograph: itself, the baselines, ours, and ours' white box."""
    rows = []
    for pixels in map(middle, SHOWN):
        strip = representations.strip(pixels, predictor(pixels))
        baselines = [opencv_recipe(pixels), superpixel_mean(pixels)]
        rows.append(np.concatenate([strip[:, :256], *baselines, strip[:, 256:]], axis=1))
    return np.concatenate(rows)


def judged(ways: dict[str, ImagePredictor]) -> Table:
    """What can be told without a project of the packages' colour photographs, drawn."""
    photos = [middle(name) for name in SOURCES if name not in GREY]
    rows = Table("", "flat", "64 colours", "called cartoon", "contours", "fringes", "likeness")
    rows.title = f"{len(photos)} photographs of packages, 256 px"
    for name, draw in ways.items():
        results = [draw(photo) for photo in photos]
        pairs = list(zip(photos, results, strict=True))
        f = alone(results)
        rows.add_row(
            name, f"{f['flat_share']:.2f}", f"{f['colour_coverage']:.2f}",
            f"{f['called_cartoon']:.0%}", f"{f['contour_share']:.3f}",
            f"{np.mean([judges.fringes(*pair) for pair in pairs]):.3f}",
            f"{np.mean([judges.likeness(*pair) for pair in pairs]):.2f}",
        )  # fmt: skip
    return rows


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path(), help="with a trained cartoonizer")
    parser.add_argument("--weights", default="none", help="of Inception-v3, a path")
    parser.add_argument("--sheet", action="store_true", help=f"write {SHEET.name} and stop")
    args = parser.parse_args()
    plain: dict[str, ImagePredictor] = {
        "photo": lambda pixels: pixels,
        "OpenCV recipe": opencv_recipe,
        "superpixel mean": superpixel_mean,
    }
    if args.sheet:
        predictor = released()
        SHEET.write_bytes(encode_png(sheet(predictor)))
        Console().print(judged({**plain, "cartoonizer": predictor}))
        print(f"written: {SHEET}")
        return
    os.chdir(args.project)
    params = load()
    predictor = table.create(MODEL, params).predictor(FOLDER)
    test = manifest.read(params.dataset(MODEL))["test"]
    features = Features(args.weights)
    photos, drawings = ([square(path) for path in paths_of(test, label)] for label in LABELS)
    ways = {**plain, "cartoonizer": predictor}
    judge = Path("models/xception")
    rows = Table(
        "", "KID", "content", "flat", "64 colours", "called cartoon", "by xception", "ms at 256 px"
    )
    for name, draw in ways.items():
        f, results = compare(features, draw, photos, drawings)
        share = f"{cartoon_share(judge, results):.0%}" if judge.is_dir() else "-"
        rows.add_row(
            name, f"{f['kid_after']:.4f}", f"{f['content_distance']:.3f}", f"{f['flat_share']:.2f}",
            f"{f['colour_coverage']:.2f}", f"{f['called_cartoon']:.0%}", share,
            f"{1000 * timed(draw, photos[0]):.0f}",
        )  # fmt: skip
    rows.title = f"{len(photos)} photos, {len(drawings)} drawings, features: {features.name}"
    Console().print(rows)
    speed(ways)


def speed(ways: dict[str, ImagePredictor]) -> None:
    """Seconds a megapixel and memory, against the recipe and the bare network."""
    bare = keras_files.load(FOLDER)
    call = tf.function(lambda x: bare(x, training=False), reduce_retracing=True)
    ways = {
        "OpenCV recipe": opencv_recipe,
        "bare Keras call": lambda p: call(tf.cast(p[None], tf.float32) / 127.5 - 1),
        "cartoonizer": ways["cartoonizer"],
    }
    astronaut = read_source("astronaut")
    rows = Table("seconds a megapixel", "256 px", "1 megapixel", "4 megapixels", "peak MiB so far")
    for name in ("OpenCV recipe", "cartoonizer", "bare Keras call"):  # the hungriest last
        row = []
        for side in (256, 1024, 2048):
            pixels = cv2.resize(astronaut, (side, side))
            row.append(f"{timed(ways[name], pixels, 2) / (side * side / 1e6):.2f}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.add_row(name, *row, f"{peak:.0f}")
    Console().print(rows)


if __name__ == "__main__":
    errors.run(main)
