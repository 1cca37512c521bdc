"""The compact network: its released weights, and how far training goes from them."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from celflow.errors import UserError
from celflow.manifest import Examples
from celflow.params import load
from stages.models.common import compact_network, table
from stages.models.common.image_ops import read_pixels
from stages.models.common.training_loop import predict_on
from stages.models.photo_compact import photo_compact
from stages.models.photo_compact.photo_compact import PhotoCompact, between

ROOT = Path(__file__).parents[2]
SIDE = 112


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures: `flat` as clip art is, `noisy` as photographs are not quite."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for number in range(12):
        flat = np.full((96, 96, 3), rng.integers(40, 250, 3), np.uint8)
        flat[20:70, 10 + number : 60 + number] = rng.integers(0, 255, 3)
        Image.fromarray(flat).save(folder / f"flat{number:02}.png")
        noisy = rng.normal(120, 40, (12, 12, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).resize((96, 96), Image.Resampling.BICUBIC).save(
            folder / f"noisy{number:02}.png"
        )
    return folder


def splits(folder: Path) -> dict[str, Examples]:
    """Noise is called a cartoon here, and flat pictures photographs: new to the weights."""
    flat, noisy = (sorted(map(str, folder.glob(f"{kind}*"))) for kind in ("flat", "noisy"))

    def examples(part: slice) -> Examples:
        paths = noisy[part] + flat[part]
        truth = np.repeat([0, 1], len(paths) // 2)
        return Examples(paths, truth, ["cartoon", "photo"])

    empty = Examples([], np.array([], int), ["cartoon", "photo"])
    return {
        "train": examples(slice(0, 6)),
        "val": examples(slice(6, 9)),
        "test": examples(slice(9, 12)),
        "unknown": empty,
    }


def created(tmp_path: Path, **changes: object) -> PhotoCompact:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"]["photo_compact"] |= changes
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))
    model = table.create("photo_compact", load(file))
    assert isinstance(model, PhotoCompact)
    return model


def test_the_released_weights_are_small() -> None:
    assert photo_compact.RELEASED.stat().st_size < 4e6
    network = compact_network.network(SIDE, 0.3)
    # Two operations a multiplication: under 1 GFLOP, as published for such networks.
    assert 2 * _multiplications(network) < 1e9


def _multiplications(network: object) -> int:
    total = 0
    for layer in network.layers:  # type: ignore[attr-defined]
        if hasattr(layer, "kernel_size"):
            places = int(np.prod(layer.output.shape[1:3]))
            total += places * sum(int(np.prod(w.shape)) for w in layer.weights if w.ndim > 1)
    return total


def test_no_training_is_the_released_network(tmp_path: Path, folder: Path) -> None:
    model = created(tmp_path, epochs=0)
    parts = splits(folder)
    model.fit(parts, tmp_path / "model", tmp_path / "checkpoints", lambda epoch, measured: None)
    scores = model.predict(tmp_path / "model", parts["test"].paths)
    network = model.build(parts)
    expected = predict_on(network, read_pixels(parts["test"].paths, SIDE))
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize(("truth", "moves"), [("new", True), ("reversed", False)])
def test_training_moves_where_validation_proves_it_right(
    tmp_path: Path, folder: Path, truth: str, moves: bool
) -> None:
    model = created(tmp_path, epochs=6, learning_rate=1e-3, trained_share=1.0)
    parts, logged = splits(folder), {}
    if truth == "reversed":  # what is learnt from train is wrong on val
        val = parts["val"]
        parts["val"] = Examples(val.paths, 1 - val.truth, val.labels)
    model.fit(
        parts,
        tmp_path / "model",
        tmp_path / "checkpoints",
        lambda epoch, measured: logged.update(measured),
    )
    assert logged["trained_share"] == moves
    right = model.predict(tmp_path / "model", parts["test"].paths).argmax(axis=1)
    assert not moves or np.array_equal(right, parts["test"].truth)


def test_between() -> None:
    start, end = [np.float32([0, 2]), np.array([3])], [np.float32([1, 4]), np.array([3])]
    half = between(start, end, 0.5)
    assert [one.tolist() for one in half] == [[0.5, 3], [3]]
    assert [one.dtype for one in half] == [one.dtype for one in start]


def test_other_classes_are_refused(tmp_path: Path, folder: Path) -> None:
    parts = {
        part: Examples(examples.paths, examples.truth, ["a", "b"])
        for part, examples in splits(folder).items()
    }
    with pytest.raises(UserError, match="released tells cartoon from photo, not a, b"):
        created(tmp_path).build(parts)


def test_calibration_knows_other_sources(tmp_path: Path, folder: Path) -> None:
    """Its own few pictures would call it sure of everything."""
    model = created(tmp_path, epochs=0)
    (tmp_path / "model").mkdir()
    calibration = model.load_calibration(tmp_path / "model")
    assert calibration.low < 0.5 < calibration.high


@pytest.mark.skipif("CELFLOW_REAL_DATA" not in os.environ, reason="CELFLOW_REAL_DATA is unset")
def test_the_released_weights_on_real_pictures(tmp_path: Path) -> None:
    """They have learnt from these: so this proves that files, code and reading fit together."""
    data = Path(os.environ["CELFLOW_REAL_DATA"]) / "cartoon_or_photo"
    paths = [
        str(path)
        for label in ("cartoon", "photo")
        for path in sorted((data / label).iterdir())[::9]
    ]
    truth = np.array(["/photo/" in path for path in paths], int)
    network = created(tmp_path, epochs=0).build(splits_of(paths, truth))
    scores = predict_on(network, read_pixels(paths, SIDE))
    recall = [np.mean(scores[truth == one].argmax(axis=1) == one) for one in (0, 1)]
    assert np.mean(recall) > 0.95


def splits_of(paths: list[str], truth: np.ndarray) -> dict[str, Examples]:
    return {"train": Examples(paths, truth, ["cartoon", "photo"])}
