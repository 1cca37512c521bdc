"""Transfer learning, with an untrained trunk."""

from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from celflow.errors import UserError
from celflow.manifest import Examples
from celflow.params import Params, load
from stages.models.common import keras_files, table
from stages.models.common.image_ops import read_pixels
from stages.models.common.model import Model
from stages.models.common.training_loop import predict_on
from stages.models.inception import transfer
from stages.models.inception.photo_inception import paint, with_painted
from stages.models.inception.transfer import TransferConfig, probe

from .conftest import ROOT

CONFIG = {
    "trainer": "fast_loop",
    "weights": "none", "tap": "mixed0", "frozen": None, "probe_c": None, "keep_norm": False,
    "image_size": 75, "epochs": 1, "patience": 1, "batch_size": 4, "learning_rate": 1e-3,
    "weight_decay": 0.0, "label_smoothing": 0.0, "dropout": 0.0, "mirror": True, "augment": {},
}  # fmt: skip


def config(**changes: object) -> TransferConfig:
    return TransferConfig.model_validate(CONFIG | changes)


def params(**train: dict) -> Params:
    """The project's, with other settings of some models, and no other processes."""
    own = load(ROOT / "params.yaml")
    data = own.data.model_copy(update={"backend": "threading"})
    return own.model_copy(update={"data": data, "train": {**own.train, **train}})


def created(name: str, **settings: object) -> Model:
    return table.create(name, params(**{name: CONFIG | settings}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tap": "mixed11"}, "'mixed10'"),
        ({"tap": "mixed2", "frozen": "mixed3"}, "lies behind the tap, mixed2"),
        ({"image_size": 64}, "greater than or equal to 75"),
    ],
)
def test_wrong_settings_are_named(tmp_path, change, says):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"]["character_inception"] |= change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="character_inception") as error:
        table.create("character_inception", load(tmp_path / "params.yaml"))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_weights_that_cannot_be_had(tmp_path):
    with pytest.raises(UserError, match="no weights file"):
        transfer.trunk(config(weights="nowhere.h5"))
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(other)
    rubbish = tmp_path / "rubbish.weights.h5"
    rubbish.write_bytes(b"not HDF5")
    for path in (other, rubbish):
        with pytest.raises(UserError, match="gives no weights of Inception-v3") as error:
            transfer.trunk(config(weights=str(path)))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_is_the_logistic_regression(classes):
    rng = np.random.default_rng(0)
    truth = np.arange(60) % classes
    features = rng.normal(truth[:, None] * [1.0, 0.3, 0, 0], 0.8) * [1, 10, 0.1, 1] + 5
    kernel, bias = probe((features, truth), (features, truth))
    logits = features @ kernel + bias
    ours = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scaled = StandardScaler().fit_transform(features)
    theirs = [
        LogisticRegression(C=c, class_weight="balanced", max_iter=1000)
        .fit(scaled, truth)
        .predict_proba(scaled)
        for c in (1e-4, 1e-3, 1e-2, 1e-1)
    ]
    losses = [-np.log(scores[np.arange(60), truth]) for scores in theirs]
    best = min(losses, key=np.mean)
    enough = best.mean() + best.std() / np.sqrt(60)
    simplest = next(t for t, loss in zip(theirs, losses, strict=True) if loss.mean() <= enough)
    assert np.abs(ours - simplest).max() < 1e-6


def test_without_validation_the_probe_takes_its_middle_strength():
    rng = np.random.default_rng(0)
    truth = np.arange(40) % 3
    features = rng.normal(truth[:, None], 1.0, (40, 4))
    blind, told = probe((features, truth), None), probe((features, truth), None, transfer.BLIND_C)
    assert all(np.array_equal(*pair) for pair in zip(blind, told, strict=True))
    freer = probe((features, truth), None, 1.0)
    assert np.abs(freer[0]).max() > 2 * np.abs(blind[0]).max()


@pytest.mark.slow
def test_two_taps_stand_side_by_side(pictures):
    pixels = read_pixels(pictures.paths, 75)
    both = config(tap=["mixed0", "mixed1"])
    assert both.taps == ["mixed0", "mixed1"] and config(tap="mixed1").taps == ["mixed1"]
    trunk = transfer.trunk(both)
    features = predict_on(trunk, pixels)
    assert features.shape == (6, 256 + 288)
    inner = trunk.get_layer("trunk")
    first = inner(pixels / np.float32(127.5) - 1)[0].numpy().mean(axis=(1, 2))
    assert np.allclose(features[:, :256], first, atol=1e-4)


@pytest.mark.slow
def test_features_are_computed_once_and_frozen_layers_stay(pictures, capsys):
    chosen = config(frozen="mixed0")
    features = transfer.trunk(chosen)
    first = transfer.frozen_features(features, chosen, pictures)
    second = transfer.frozen_features(features, chosen, pictures)
    assert np.array_equal(first, second)
    assert capsys.readouterr().out.count("features of 6 pictures") == 1

    model = created("character_inception", frozen="mixed0")
    splits = dict.fromkeys(("train", "val", "test"), pictures)
    logged: list[dict] = []
    model.fit(splits, Path("m"), Path("s"), lambda _, metrics: logged.append(metrics))
    assert set(logged[0]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    scores = model.predict(Path("m"), pictures.paths)
    assert scores.shape == (6, 2) and np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    mirrored = []
    for path in pictures.paths:
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(f"mirror_{path}")
        mirrored.append(f"mirror_{path}")
    assert np.allclose(model.predict(Path("m"), mirrored), scores, atol=1e-3)
    frozen, tuned = (keras_files.load(Path("s/last")), transfer.trunk(chosen))
    assert not frozen.get_layer("trunk").trainable_weights
    assert tuned.get_layer("trunk").trainable_weights


@given(st.integers(16, 64), st.integers(16, 64), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_paint_keeps_size_and_changes_the_picture(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    kept = pixels.copy()
    painted = paint(pixels, np.random.default_rng(seed))
    assert painted.shape == pixels.shape and painted.dtype == np.uint8
    assert np.array_equal(pixels, kept) and not np.array_equal(painted, pixels)


@pytest.mark.parametrize(("share", "copies"), [(0.0, 0), (0.5, 2), (1.0, 3)])
def test_painted_photos_are_cartoons(pictures, share, copies):
    train = Examples(pictures.paths, pictures.truth, ["cartoon", "photo"])
    more = with_painted(train, share, Path("painted"), params())
    photo_inception = created("photo_inception", painted=share)
    checked = photo_inception.validation(train, Path("checkpoints"))
    assert checked.truth.tolist() == more.truth.tolist()
    xception = table.create("xception", params())
    assert xception.validation(train, Path("checkpoints")) is train
    assert len(more) == len(train) + copies == len(more.truth)
    assert more.paths[:6] == train.paths and (more.truth[6:] == 0).all()
    for path in more.paths[6:]:
        source = train.paths[int(Path(path).stem)]
        assert source in {"1.png", "3.png", "5.png"}
        assert Image.open(path).size == Image.open(source).size
