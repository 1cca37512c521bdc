"""A SavedModel from outside in the registry."""

import shutil

import pytest
import tensorflow as tf
from typer.testing import CliRunner

from celflow import registry
from celflow.errors import UserError
from cli import main
from promotion.import_model import import_model

PICTURES = tf.TensorSpec([None], tf.string, name="image_bytes")


def saved(folder, answer, spec=PICTURES):
    module = tf.Module()
    module.answer = tf.function(answer, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures=module.answer)
    return folder


def scores(image_bytes):
    count = tf.shape(image_bytes)[0]
    classes = tf.tile([["cartoon", "photo"]], [count, 1])
    return {"scores": tf.tile([[0.25, 0.75]], [count, 1]), "classes": classes}


def reads(image_bytes):
    return {**scores(image_bytes), "files": tf.map_fn(tf.io.read_file, image_bytes)}


def test_a_model_from_outside_becomes_a_version_once(project, tmp_path):
    folder = saved(tmp_path / "theirs", scores)
    words = ["import", str(folder), "theirs", "--task", "cartoon_or_photo"]
    done = CliRunner().invoke(main.app, words)
    assert done.output == "theirs: version 1 (new; champion)\n"
    assert CliRunner().invoke(main.app, words).output == "theirs: version 1 (known; champion)\n"
    version = registry.get("theirs", 1)
    assert version.tags["imported"] == str(folder) and version.tags["trusted"] == "false"
    with registry.saved_model(version) as copy:
        assert (copy / "saved_model.pb").read_bytes() == (folder / "saved_model.pb").read_bytes()


@pytest.mark.slow
def test_importing_killed_before_each_write(tiny, store):
    words = ("import", tiny.saved / "b0", "theirs", "--task", "cartoon_or_photo")
    kills = 0
    while True:
        code, printed = tiny.run(*words, kill_at=kills)
        if code == 0:
            break
        assert code == -9, printed
        code, printed = tiny.run(*words)
        assert code == 0, printed
        assert registry.aliases()["theirs"] == {"champion": 1}
        assert [version.version for version in registry.versions("theirs")] == [1]
        kills += 1
        shutil.copyfile(store / "mlflow.db", "mlflow.db")  # as empty as it was
    assert kills >= 4


def test_one_that_reads_files_needs_trust(project, tmp_path):
    folder = saved(tmp_path / "theirs", reads)
    with pytest.raises(UserError, match=r"op ReadFile.*--trust"):
        import_model(folder, "theirs", "cartoon_or_photo")
    assert registry.versions("theirs") == []
    version, new = import_model(folder, "theirs", "cartoon_or_photo", trust=True)
    assert new and version.tags["trusted"] == "true"


@pytest.mark.parametrize(
    ("answer", "spec", "task", "said"),
    [
        (scores, PICTURES, "vegetables", "no task 'vegetables': there are cartoon_or_photo"),
        (lambda x: {"y": x * 2}, tf.TensorSpec([None]), "sketch", "mlflow deployments create"),
        (lambda image_bytes: {"y": image_bytes}, PICTURES, "sketch", "scores and classes or image"),
    ],
)
def test_what_does_not_fit(project, tmp_path, answer, spec, task, said):
    folder = saved(tmp_path / "theirs", answer, spec)
    with pytest.raises(UserError, match=said):
        import_model(folder, "theirs", task)
    assert registry.versions("theirs") == []
