"""The test pictures on which two versions of a model disagree, as a sheet to look at."""

from pathlib import Path

import numpy as np

from celflow import images, manifest, tracking
from celflow.errors import UserError
from celflow.manifest import Examples
from celflow.params import CLASSIFICATION_TASKS, Params, Task
from celflow.registry import RegisteredVersion
from promotion import answers, trial
from promotion.served_folder import materialize
from promotion.transition import LOCK
from serving.client import Client

SHOWN = 8  # rows at most
COLUMNS = 6
SIDE = 256  # pixels of a tile's longer side
DRAWN = 24  # pictures that a picture model is asked to draw, at most
DRAWN_OF: dict[Task, str] = {"sketch": "cartoon", "cartoonize": "photo"}  # which pictures

Pair = tuple[RegisteredVersion, RegisteredVersion]
Tile = tuple[np.ndarray, str]  # uint8 [H, W, 3] and what stands above it


def sheet(old: RegisteredVersion, new: RegisteredVersion, params: Params) -> tuple[bytes, str]:
    """Ask two versions of a model, in a server of its own process, about the test pictures.

    Returns a PNG of those to which a classifier gives another best answer, in which a face detector
    finds another number of faces, or of what a picture model draws, the most different first; and
    a line that says how many there are.

    Raises:
        UserError: a version does not load or answer, or there are no test pictures.
    """
    test = manifest.read(params.dataset(old.model))["test"]
    if not len(test):
        raise UserError("there are no test pictures to ask about (split.test in params.yaml)")
    task = params.task(old.model)
    with trial.starting() as server:
        with tracking.hold(LOCK):
            for version in (old, new):
                materialize(version)
        with server.loaded(old.model, [old.version, new.version]) as client:
            if task in CLASSIFICATION_TASKS:
                tiles, words = _named(client, (old, new), test)
            elif task == "faces":
                tiles, words = _with_faces(client, (old, new), test)
            else:
                tiles, words = _drawn(client, (old, new), test, DRAWN_OF[task])
    return _png(tiles[: SHOWN * COLUMNS], f"{old.model}: {words}"), words


def _named(client: Client, pair: Pair, test: Examples) -> tuple[list[Tile], str]:
    found = answers.of_classifier(client, pair, test)
    names = [*test.labels, "another name"]
    tiles = []
    for i in np.flatnonzero(found[0].best != found[1].best):
        said = [
            f"{version.version}: {names[one.best[i]]} ({one.scores[i].max():.0%})"
            for version, one in zip(pair, found, strict=True)
        ]
        tiles.append((_read(test.paths[i]), "\n".join([names[test.truth[i]], *said])))
    return tiles, f"{_versions(pair)} disagree on {len(tiles)} of {len(test)} test pictures"


def _with_faces(client: Client, pair: Pair, test: Examples) -> tuple[list[Tile], str]:
    tiles = []
    for path in test.paths:
        pixels = _read(path)
        counts = [len(answers.faces(client, version, pixels)) for version in pair]
        if counts[0] != counts[1]:
            said = [f"{one.version}: {n} found" for one, n in zip(pair, counts, strict=True)]
            tiles.append((pixels, "\n".join(said)))
    words = f"{_versions(pair)} find another number of faces"
    return tiles, f"{words} in {len(tiles)} of {len(test)} test pictures"


def _drawn(client: Client, pair: Pair, test: Examples, label: str) -> tuple[list[Tile], str]:
    chosen = [path for path, truth in zip(test.paths, test.truth, strict=True)
              if test.labels[truth] == label][:DRAWN]  # fmt: skip
    drawn = []
    for path in chosen:
        pixels = _read(path)
        both = [answers.drawing(client, version, pixels) for version in pair]
        apart = float(np.abs(np.subtract(*both, dtype=np.float32)).mean())
        said = [f"{version.version}" for version in pair]
        said[1] += f", {apart:.1f} levels apart"
        drawn.append((apart, [(pixels, "picture"), *zip(both, said, strict=True)]))
    drawn.sort(key=lambda row: -row[0])
    far = f" by {drawn[0][0]:.1f} levels at most" if drawn else ""
    words = f"what {_versions(pair)} draw of {len(chosen)} test pictures differs{far}"
    return [tile for _, row in drawn for tile in row], words


def _versions(pair: Pair) -> str:
    return f"versions {pair[0].version} and {pair[1].version}"


def _read(path: str) -> np.ndarray:
    return images.shrink(images.read_image(Path(path)).pixels, SIDE)


def _png(tiles: list[Tile], title: str) -> bytes:
    from matplotlib import pyplot as plt

    from stages.models.common.classification_report import png

    rows = max(1, -(-len(tiles) // COLUMNS))
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(2 * COLUMNS, 2.6 * rows + 0.4), layout="constrained", squeeze=False
    )
    figure.suptitle(title)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (pixels, words) in zip(axes.flat, tiles, strict=False):
        axis.imshow(pixels)
        axis.set_title(words, fontsize=8)
    return png(figure)
