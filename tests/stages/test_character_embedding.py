"""Face encodings: the released encoder, the gallery, and when a face is of nobody known."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from celflow.errors import UserError
from celflow.manifest import Examples
from celflow.metrics import UNKNOWN
from celflow.params import load
from stages.models.character_embedding import network
from stages.models.character_embedding.character_embedding import (
    CharacterEmbedding,
    recolour,
)
from stages.models.character_embedding.cosine_layers import MarginLoss
from stages.models.character_embedding.gallery import Gallery
from stages.models.character_embedding.known_curve import (
    LEFT_OUT_FACES,
    Asked,
    known_curve,
    left_out,
    without_itself,
)
from stages.models.character_embedding.recolour import TURNS, recoloured
from stages.models.common import table
from stages.models.common.image_ops import read_pixels
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.training_loop import predict_on
from stages.sample.cast import CAST
from stages.sample.drawings import draw_illustration

from .conftest import ROOT


def created(**changes: object) -> CharacterEmbedding:
    own = load(ROOT / "params.yaml")
    section = {**own.train["character_embedding"], **changes}
    model = table.create(
        "character_embedding",
        own.model_copy(update={"train": {**own.train, "character_embedding": section}}),
    )
    assert isinstance(model, CharacterEmbedding)
    return model


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examples:
    """Ten characters that the encoder was not taught, nine close portraits of each."""
    monkeypatch.chdir(tmp_path)
    paths = []
    for design in CAST[2:]:
        for number in range(9):
            rng = np.random.default_rng([number, len(paths)])
            portrait = draw_illustration(design, 180, 220, rng)[10:170, 10:170]
            paths.append(f"{design.name}{number}.png")
            Image.fromarray(portrait).save(paths[-1])
    return Examples(paths, np.arange(90) // 9, [design.name for design in CAST[2:]])


def part(examples: Examples, rows: np.ndarray) -> Examples:
    return Examples([examples.paths[i] for i in rows], examples.truth[rows], examples.labels)


def test_the_released_encoder_is_small() -> None:
    assert network.RELEASED.stat().st_size < 10e6


def test_five_faces_are_enough_and_strangers_are_unknown(drawn: Examples) -> None:
    """Eight characters from five faces each; the other two are nobody."""
    number = np.arange(90) % 9
    known = drawn.truth < 8
    train, val = (
        Examples(part(drawn, rows).paths, drawn.truth[rows], drawn.labels[:8])
        for rows in (
            np.flatnonzero(known & (number < 5)),
            np.flatnonzero(known & (number >= 5) & (number < 8)),
        )
    )
    model = created()
    model.fit({"train": train, "val": val}, Path("m"), Path("s"), lambda *_: None)
    asked = np.flatnonzero(number == 8)
    scores = model.predict(Path("m"), part(drawn, asked).paths)
    named = scores[:, :-1].argmax(axis=1)
    assert np.mean(named[:8] == np.arange(8)) >= 0.85
    strangers = model.predict(Path("m"), part(drawn, np.flatnonzero(~known)).paths)
    assert np.mean(strangers.argmax(axis=1) == 8) >= 0.5


def test_encodings_without_validation(pictures: Examples) -> None:
    model = created(init="none", image_size=75)
    nothing = Examples([], np.zeros(0, np.int64), pictures.labels)
    logged = []
    splits = {"train": pictures, "val": nothing, "test": nothing}
    model.fit(splits, Path("m"), Path("s"), lambda *line: logged.append(line))
    assert logged == [(0, {})]
    named = model.predict(Path("m"), pictures.paths)[:, :-1].argmax(axis=1)
    assert (named == pictures.truth).all()


@pytest.mark.parametrize("init", ["nowhere.npz", "nowhere.h5"])
def test_weights_that_cannot_be_had(pictures: Examples, init: str) -> None:
    with pytest.raises(UserError, match=r"train\.character_embedding\.init: ") as error:
        created(init=init).build({"train": pictures})
    assert "\n" not in str(error.value)


def test_inceptions_own_weights(tmp_path: Path) -> None:
    """Whatever Keras counts its layers from: what is Inception's comes from the file."""
    keras.layers.Conv2D(3, 3)
    whole = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    whole.save_weights(tmp_path / "inception.weights.h5")
    encoder = network.encoder(75, 0.0)
    network.load(encoder, str(tmp_path / "inception.weights.h5"), "init")
    x = np.random.default_rng(0).integers(0, 256, (1, 75, 75, 3)).astype(np.float32)
    own, given = (
        keras.Model(net.input, net.get_layer("mixed4").output) for net in (encoder, whole)
    )
    assert np.allclose(own(x), given(x / 127.5 - 1), atol=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(20, 400), st.sampled_from([0.02, 0.05, 0.2]))
@settings(max_examples=25, deadline=None)
def test_false_alarms_are_as_many_as_stated(seed: int, count: int, stated: float) -> None:
    """Of the faces asked, those that the threshold gives up; the smallest of n is 1 of n + 1."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, count)
    cosines = rng.uniform(-0.2, 0.4, (count, 5)).astype(np.float32)
    cosines[np.arange(count), truth] += rng.uniform(0.1, 0.6, count).astype(np.float32)
    slope, threshold = known_curve([Asked(cosines, truth)], 20.0, stated)
    # A gallery of the axes: the cosine to each of them is what stands in the row.
    gallery = Gallery(list("abcde"), np.eye(5, dtype=np.float32), 20.0, slope, threshold)
    unknown = gallery.scores(cosines).argmax(axis=1) == 5
    assert abs(unknown.sum() - stated * (count + 1)) <= 1.5


def test_false_alarms_of_new_faces_are_as_many_as_stated() -> None:
    """Thresholds from twenty faces each; a plain quantile of them would give up nearly twice as
    many of the next faces."""
    alarms = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        cosines = np.stack([rng.normal(0.7, 0.1, 40), np.full(40, -0.5)], axis=1)
        cosines = cosines.astype(np.float32)
        slope, threshold = known_curve([Asked(cosines[:20], np.zeros(20, int))], 20.0, 0.05)
        gallery = Gallery(list("ab"), np.eye(2, dtype=np.float32), 20.0, slope, threshold)
        alarms.append(np.mean(gallery.scores(cosines[20:]).argmax(axis=1) == 2))
    assert np.mean(alarms) == pytest.approx(0.05, abs=0.012)


def test_weights_count_as_faces() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.uniform(0, 1, (30, 3)).astype(np.float32)
    truth = rng.integers(0, 3, 30)
    thrice = known_curve([Asked(np.tile(cosines, (3, 1)), np.tile(truth, 3))], 20.0, 0.1)
    assert known_curve([Asked(cosines, truth, 3.0)], 20.0, 0.1) == pytest.approx(thrice, abs=0.02)


def test_cosines_without_itself() -> None:
    a, b = np.float32([1, 0]), np.float32([0, 1])
    asked = without_itself(np.stack([a, a, b]), np.array([0, 0, 1]))
    assert asked.cosines.tolist() == [[1, 0], [1, 0]] and asked.truth.tolist() == [0, 0]
    assert asked.others.tolist() == [0, 0]


def test_what_held_out_characters_showed() -> None:
    """Faces of one's own character are nearer than others, and a mean of five is nearer still."""
    one, five = left_out(1.0), left_out(5.0)
    assert left_out(66).cosines.tolist() == five.cosines.tolist()
    for asked in (one, five):
        assert asked.weight * len(asked.truth) == pytest.approx(LEFT_OUT_FACES)
        assert np.median(asked.cosines[:, 0]) > np.median(asked.others) + 0.1
    assert np.median(five.cosines[:, 0]) > np.median(one.cosines[:, 0])


def test_a_face_of_each_is_enough_with_the_released_encoder_only(drawn: Examples) -> None:
    """Their own faces tell nothing of how far others may lie: characters left out do."""
    first = part(drawn, np.arange(0, 90, 9))
    none = Examples([], np.array([], int), first.labels)
    model = created()
    model.fit({"train": first, "val": none}, Path("m"), Path("s"), lambda *_: None)
    asked = part(drawn, np.arange(1, 90, 9))
    scores = model.predict(Path("m"), asked.paths)
    assert np.mean(scores.argmax(axis=1) == asked.truth) >= 0.7
    other = created(init="none")
    with pytest.raises(
        UserError, match=r"train\.character_embedding: no character has two"
    ) as error:
        other.fit({"train": first, "val": none}, Path("o"), Path("t"), lambda *_: None)
    assert "\n" not in str(error.value)


def test_encodings_know_their_own_and_say_unknown(pictures):
    model = created(init="none", epochs=1, image_size=75, sharpness=10.0)
    splits = dict.fromkeys(("train", "val", "test"), pictures)
    model.fit(splits, Path("m"), Path("s"), lambda *_: None)
    gallery = Gallery.read(Path("m"))
    assert gallery.names == ["a", "b"]
    assert np.allclose(np.linalg.norm(gallery.encodings, axis=1), 1, atol=1e-5)
    encodings = KerasClassifier.predict(model, Path("m"), pictures.paths)
    assert np.allclose(np.linalg.norm(encodings, axis=1), 1, atol=1e-5)

    scores = model.predict(Path("m"), pictures.paths)
    assert scores.shape == (6, 3) and np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert gallery.scores(-gallery.encodings.sum(axis=0)[None]).argmax() == 2

    model.export(Path("m"), ["a", "b"]).save(Path("saved"))
    served = tf.saved_model.load("saved").signatures
    files = tf.constant([Path(path).read_bytes() for path in pictures.paths])
    answer = served["serving_default"](image_bytes=files)
    assert answer["classes"].numpy()[0].tolist() == [b"a", b"b", UNKNOWN.encode()]
    assert np.allclose(answer["scores"], scores, atol=1e-4)
    assert np.allclose(served["embed"](image_bytes=files)["embedding"], encodings, atol=1e-4)
    assert json.loads((Path("m") / "gallery.json").read_text())["names"] == ["a", "b"]


def test_recoloured_faces_are_classes_of_their_own(pictures):
    ours = created(init="none", epochs=1, image_size=75)
    model = ours.build({"train": pictures})
    assert model.output_shape == (None, 2 * TURNS)
    # Untrained, a face is nearest to those of its own character in its own colours.
    pixels = read_pixels(pictures.paths, ours.config.image_size)
    for turn in range(TURNS):
        turned = np.stack([recoloured(face, turn) for face in pixels])
        nearest = predict_on(model, turned).argmax(axis=1)
        assert nearest.tolist() == (pictures.truth + 2 * turn).tolist()

    face, seen = pixels[1], set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        learnt, one = recolour(face, 1, rng, share=0.5, classes=2)
        turn = (one - 1) // 2
        assert np.array_equal(learnt, recoloured(face, turn) if turn else face)
        seen.add(one)
    assert seen == {1, 3, 5, 7}


def test_the_margin_loss_is_that_of_cosface():
    cosines, truth = np.array([[0.8, 0.3], [0.1, 0.2]]), np.eye(2, dtype=np.float32)
    logits = 10 * cosines
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    lowered = logits - 10 * 0.2 * truth
    expected = -np.log(np.exp(lowered.diagonal()) / np.exp(lowered).sum(axis=1)).mean()
    loss = MarginLoss(10 * 0.2)(truth, scores.astype(np.float32))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif("CELFLOW_REAL_DATA" not in os.environ, reason="CELFLOW_REAL_DATA is unset")
def test_real_faces_find_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder has learnt from these: so this proves that files, code and reading fit
    together. What it makes of characters never seen is in card.md."""
    folder = Path(os.environ["CELFLOW_REAL_DATA"]) / "characters16"
    monkeypatch.chdir(tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    files = [str(path) for name in names for path in sorted((folder / name).iterdir())[:14]]
    faces = Examples(files, np.arange(len(files)) // 14, names)
    number = np.arange(len(files)) % 14
    train, val = (part(faces, np.flatnonzero(rows)) for rows in (number < 5, number >= 8))
    model = created()
    model.fit({"train": train, "val": val}, Path("m"), Path("s"), lambda *_: None)
    test = part(faces, np.flatnonzero((number >= 5) & (number < 8)))
    scores = model.predict(Path("m"), test.paths)[:, :-1]
    assert np.mean(scores.argmax(axis=1) == test.truth) > 0.9
