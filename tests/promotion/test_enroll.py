"""Teach a tiny recogniser new characters, let it forget them, register, gate and serve it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from typer.testing import CliRunner

from celflow import manifest, registry
from celflow.errors import UserError
from celflow.images import encode_png, read_image
from celflow.params import load
from cli import main
from promotion import answers as answers_of
from promotion import enroll, served_folder, serving_config, trial
from stages import clean, evaluate, export, facecrop, register, split, train
from stages.face_finder import face_finder
from stages.models.character_embedding.cosine_layers import UnitLength
from stages.models.character_embedding.gallery import Gallery, mean_directions
from stages.models.character_embedding.recogniser import Encoder, Recogniser
from stages.models.common.image_ops import resize
from stages.models.common.mirrored import mirrored
from stages.models.common.saved_model import write_saved_model
from stages.sample.cast import CAST, Design
from stages.sample.drawings import draw_illustration

from ..serving.model_server import Server
from ..stages.conftest import ROOT, encoded, flat_drawing, grainy_photo

pytestmark = pytest.mark.slow
MODEL = "character_embedding"
SIDE = 32


def tiny_encoder() -> keras.Model:
    """Where which colours are; mirrored and with state, as the real one."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Flatten()(layers.AveragePooling2D(16)(x))
    x = layers.BatchNormalization(center=False, scale=False)(x)
    encoder = keras.Model(inputs, UnitLength()(x))
    return keras.Model(inputs, UnitLength()(mirrored(encoder)(inputs)))


def pixels_of(paths: list[str]) -> tf.Tensor:
    return tf.stack([resize(read_image(Path(path)).pixels, SIDE) for path in paths])


@pytest.fixture
def known(project) -> registry.RegisteredVersion:
    """Version 1: it knows aki and beni, from their faces of train."""
    params = load()
    for stage in (clean, facecrop, split):
        stage.run(params)
    train = manifest.read("characters")["train"]
    model = tiny_encoder()
    encodings = mean_directions(model(pixels_of(train.paths)).numpy(), train.truth)
    gallery = Gallery(train.labels, encodings, sharpness=10.0, slope=10.0, threshold=0.5)
    recogniser = Recogniser(Encoder(model), SIDE, gallery)
    card = write_saved_model(
        recogniser, MODEL, "characters", train.labels, project.folder / "first"
    )
    tags = {"task": "characters", "labels": json.dumps(train.labels), "data_hash": "1234"}
    with registry.run(MODEL) as active:
        run_id = active.info.run_id
    saved_model = project.folder / "first/saved_model"
    return registry.register(MODEL, run_id, saved_model, card["content"], tags)[0]


def new_faces(project, name: str, hue: int) -> Path:
    for i in range(4):
        project.put(f"new/{name}/{i}.png", flat_drawing(300 + 10 * hue + i, hue))
    return project.raw / "new" / name


def scores(version: registry.RegisteredVersion, files: list[str]) -> tuple[list[str], np.ndarray]:
    with registry.saved_model(version) as folder:
        ask = tf.saved_model.load(str(folder)).signatures["serving_default"]
        answer = ask(image_bytes=tf.constant([Path(file).read_bytes() for file in files]))
    return [name.decode() for name in answer["classes"].numpy()[0]], answer["scores"].numpy()


def embeddings(version: registry.RegisteredVersion, files: list[str]) -> np.ndarray:
    with registry.saved_model(version) as folder:
        ask = tf.saved_model.load(str(folder)).signatures["embed"]
        data = tf.constant([Path(file).read_bytes() for file in files])
        return ask(image_bytes=data)["embedding"].numpy()


def test_enroll_enroll_forget(project, known):
    params = load()
    test = manifest.read("characters")["test"]
    cleo = new_faces(project, "cleo", 2)
    other = project.put("new/cleo/none.png", b"no picture").name
    faces = sorted(str(path) for path in cleo.glob("[0-9].png"))

    second, left_out = enroll.enroll("cleo", cleo, known, params)
    assert (second.version, second.aliases) == (2, ("challenger",))
    assert len(left_out) == 1 and other in left_out[0]
    assert second.tags["enrolled"] == "cleo" and second.tags["from_version"] == "1"
    assert json.loads(second.tags["labels"]) == ["aki", "beni", "cleo"]
    assert second.tags["data_hash"] == "1234" and second.tags["gate"] == "not compared yet"
    run = registry.connect().get_run(second.run_id)
    assert run.data.params["faces"] == "4" and run.data.tags["from_version"] == "1"
    assert mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/card.json")["model"] == MODEL

    names, answers = scores(second, faces)
    assert names == ["aki", "beni", "cleo", "unknown"]
    assert (answers.argmax(axis=1) == 2).all()
    # Those known before rank as before, and the encodings are the same to the last bit.
    before, after = scores(known, test.paths)[1], scores(second, test.paths)[1]
    assert (before[:, :2].argmax(axis=1) == after[:, :2].argmax(axis=1)).all()
    assert np.allclose(before[:, 0] / before[:, 1], after[:, 0] / after[:, 1], rtol=1e-3)
    assert np.array_equal(embeddings(known, test.paths), embeddings(second, test.paths))

    with pytest.raises(UserError, match=r"version 2 knows cleo already: `celflow forget cleo`"):
        enroll.enroll("cleo", cleo, second, params)
    third, _ = enroll.enroll("ara", new_faces(project, "ara", 1), second, params)
    assert scores(third, faces)[0] == ["aki", "ara", "beni", "cleo", "unknown"]
    assert (scores(third, faces)[1].argmax(axis=1) == 3).all()

    without = enroll.forget("ara", third)
    assert without.tags["forgotten"] == "ara" and "enrolled" not in without.tags
    without = enroll.forget("cleo", without)
    with registry.saved_model(without) as folder, registry.saved_model(known) as old:
        ours, theirs = (Gallery.read(one / "assets.extra") for one in (folder, old))
    assert ours.names == theirs.names and np.array_equal(ours.encodings, theirs.encodings)
    assert np.array_equal(scores(without, test.paths)[1], before)

    fewer = enroll.forget("aki", known)
    assert scores(fewer, faces)[0] == ["beni", "unknown"]
    # More names than the test set has, and fewer, can be measured.
    versions = (known, second, fewer)
    for version in versions:
        served_folder.materialize(version)
    with trial.starting() as server, server.loaded(MODEL, [v.version for v in versions]) as client:
        first, more, less = answers_of.of_classifier(
            client, versions, manifest.read("characters")["test"]
        )
    assert len(more.best) == len(less.best) == len(first.best) == len(test)
    aki = less.truth == less.labels.index("aki")
    assert (first.best[aki] == first.truth[aki]).any()
    assert not (less.best[aki] == less.truth[aki]).any()


def test_it_is_served(project, known, tmp_path):
    from serving.client import Client

    cleo = new_faces(project, "cleo", 2)
    second, _ = enroll.enroll("cleo", cleo, known, load())
    served_folder.materialize(second)
    config = tmp_path / "models.config"
    config.write_text(str(serving_config.build({MODEL: {"challenger": 2}}, {})))
    files = sorted(cleo.iterdir())
    with Server(tmp_path, f"--model_config_file={config}") as server, Client(server.address) as ask:
        pictures = [file.read_bytes() for file in files]
        assert {one.name for one in ask.classify(MODEL, pictures, 2)} == {"cleo"}
        encodings = ask.embed(MODEL, pictures, 2)
    assert np.allclose(np.linalg.norm(encodings, axis=1), 1, atol=1e-5)
    assert np.allclose(encodings, embeddings(known, [str(file) for file in files]), atol=1e-6)


def test_by_command_and_the_same_content_is_the_same_version(project, known):
    cleo = new_faces(project, "cleo", 2)

    def celflow(*words: object) -> str:
        code = "from cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, words)], check=True, capture_output=True,
            text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).stdout  # fmt: skip

    printed = celflow("enroll", "cleo", cleo)
    assert "version 2, 4 faces of cleo (challenger)" in printed
    assert f"next: celflow promote {MODEL} 2" in printed
    assert "version 2, 4 faces of cleo (challenger)" in celflow("enroll", "cleo", cleo)
    assert "version 3, without cleo" in celflow("forget", "cleo", "--version", "2")
    assert [version.version for version in registry.versions(MODEL)] == [3, 2, 1]


def test_what_a_user_can_get_wrong_is_one_line(project, known):
    empty = project.raw / "empty"
    empty.mkdir()
    project.put("bad/cut.jpg", encoded(grainy_photo(1), "JPEG")[:-2000])
    project.put("bad/text.png", b"no picture")
    cleo = new_faces(project, "cleo", 2)
    for words, text in [
        (["enroll", "unknown", cleo], "'unknown' can't be a character's name"),
        (["enroll", "", cleo], "'' can't be a character's name"),
        (["enroll", "a/b", cleo], "'a/b' can't be"),
        (["enroll", "aki", cleo], "knows aki already: `celflow forget aki`, then enroll"),
        (["enroll", "cleo", "nowhere"], "no folder nowhere"),
        (["enroll", "cleo", empty], "empty is empty"),
        (["enroll", "cleo", project.raw / "bad"], "cut.jpg: the file is cut off"),
        (["enroll", "cleo", project.raw / "bad"], "text.png: the file is no JPEG"),
        (["enroll", "cleo", cleo, "--version", "9"], "has no version 9: it has 1"),
        (["forget", "cleo"], "version 1 knows no cleo: it has aki, beni"),
    ]:
        failure = CliRunner().invoke(main.app, [str(word) for word in words]).exception
        assert isinstance(failure, UserError), (words, failure)
        assert text in str(failure) and "\n" not in str(failure)
    one = enroll.forget("aki", known)
    with pytest.raises(UserError, match="beni is the last one"):
        enroll.forget("beni", one)
    project.configure({"facecrop": {"detector": "auto"}})
    with pytest.raises(UserError, match=r"no picture in .*cleo shows a face .*0.png: no face"):
        enroll.enroll("cleo", cleo, known, load())
    assert len(registry.versions(MODEL)) == 2

    shutil.rmtree("first/saved_model/assets.extra")
    saved_model = Path("first/saved_model")
    bare, _ = registry.register(MODEL, known.run_id, saved_model, "bare", dict(known.tags))
    with pytest.raises(UserError, match=r"version 3 can't learn names: it holds no gallery"):
        enroll.forget("aki", bare)


def test_nothing_registered_yet(project):
    failure = CliRunner().invoke(main.app, ["forget", "aki"]).exception
    assert isinstance(failure, UserError) and "run `dvc repro`" in str(failure)


def test_five_pictures_of_somebody_nobody_trained_on(project):
    """As on a fresh install: the released encoder and face detector, whole illustrations."""

    def drawn(design: Design, folder: str, count: int) -> list[str]:
        """Drawings of whom the encoder was not taught, in another folder than the project's."""
        rng = np.random.default_rng([3, *map(ord, design.name)])
        pictures = [draw_illustration(design, 300, 360, rng) for _ in range(count)]
        return [
            str(project.put(f"{folder}/{number}.png", Image.fromarray(picture)))
            for number, picture in enumerate(pictures)
        ]

    cast, new, strangers = CAST[:4], CAST[4], CAST[5:]
    params = project.configure({"facecrop": {"detector": "auto"}, "split": {"test": 0, "val": 0}})
    shutil.rmtree(project.raw / "characters")
    for design in cast:
        drawn(design, f"characters/{design.name}", 6)
    for stage in (clean, facecrop, split):
        stage.run(params)
    for stage in (train, evaluate, export, register):
        stage.run(MODEL, params)
    drawn(new, f"new/{new.name}", 5)
    base = registry.with_alias(MODEL, registry.CHAMPION) or registry.versions(MODEL)[0]
    made, left_out = enroll.enroll(new.name, project.raw / "new" / new.name, base, params)
    assert made.tags["faces"] == "5" and not left_out

    def called(design: Design) -> list[str]:
        """The names by which six further pictures' faces go."""
        files = drawn(design, f"asked/{design.name}", 11)[5:]
        find = face_finder(params)
        for file in files:
            face, _ = facecrop.largest_face(Path(file), find, "keep")
            Path(file).write_bytes(encode_png(face))
        names, answers = scores(made, files)
        return [names[best] for best in answers.argmax(axis=1)]

    assert called(new).count(new.name) >= 4
    answers = [name for stranger in strangers for name in called(stranger)]
    assert answers.count("unknown") >= 0.8 * len(answers)
