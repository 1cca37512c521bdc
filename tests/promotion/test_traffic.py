"""Replay, shadow and guard, with a model server and its request logs."""

import csv
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from celflow import registry
from celflow.errors import UserError
from celflow.images import encode_png
from cli import main
from promotion import deploy, serving_config, shadow, traffic
from serving.client import Client
from stages.models.common.saved_model import digest

from ..serving.model_server import Server

MODEL = "photo"
VERDICTS = ("cartoon", "photo", "unsure")


def grey(level: int) -> bytes:
    return encode_png(np.full((8, 8, 3), level, np.uint8))


class Brightness(tf.Module):
    """Cartoons are bright; between two borders it is unsure. swapped: it has learnt the reverse."""

    def __init__(self, unsure_from: float, swapped: bool) -> None:
        super().__init__()
        names = ["photo", "cartoon"] if swapped else ["cartoon", "photo"]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def classify(image_bytes):
            def bright(data):
                return tf.reduce_mean(tf.cast(tf.io.decode_png(data, 3), tf.float32)) / 255

            share = tf.map_fn(bright, image_bytes, fn_output_signature=tf.float32)
            classes = tf.tile([names], [tf.size(share), 1])
            best = tf.where(share > 0.5, names[0], names[1])
            is_unsure = (share > unsure_from) & (share < 0.5)
            verdict = tf.where(is_unsure, "unsure", best)
            return {
                "scores": tf.stack([share, 1 - share], 1),
                "classes": classes,
                "verdict": verdict,
            }

        self.classify = classify

    def save(self, folder: Path) -> Path:
        tf.saved_model.save(self, str(folder), {"serving_default": self.classify})
        return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Three versions: the first, an equal one that is unsure at times, one with labels swapped."""
    folder = tmp_path_factory.mktemp("saved")
    return [
        Brightness(unsure, swapped).save(folder / str(number))
        for number, (unsure, swapped) in enumerate([(1.0, False), (0.45, False), (1.0, True)], 1)
    ]


@pytest.fixture
def stack(project, saved):
    """Registered versions 1 (previous), 2 (champion) and 3 (challenger), and a server."""
    for folder in saved:
        tags = {"task": "cartoon_or_photo", "labels": "[]"}
        with registry.run(MODEL) as active:
            run_id = active.info.run_id
        made, _ = registry.register(MODEL, run_id, folder, digest(folder), tags)
        if made.version == 2:
            registry.commit(MODEL, registry.plan(made, registry.CHAMPION, "promote"))
    with Client("127.0.0.1:1", patience=0) as nobody:
        deploy.deploy(nobody)
    flag = f"--model_config_file={serving_config.MODELS_CONFIG.absolute()}"
    more = "--allow_version_labels_for_unavailable_models"
    with Server(project.folder, flag, more) as server, Client(server.address) as client:
        client.wait_available(MODEL, 3, 30)
        yield client
        assert "Traceback" not in server.log.read_text()


class Users:
    """Ask the champion again and again, pictures of all levels."""

    def __init__(self, client: Client, levels: range) -> None:
        self._client, self._levels = client, levels
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _ask(self):
        while not self._stop.is_set():
            for level in self._levels:
                self._client.predict(MODEL, [grey(level)], "stable")
            time.sleep(0.02)


def run(client: Client, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(main.app, [*words, "--server", client.address])
    assert done.exit_code == code, f"{done.output}\n{done.exception}"
    return done.output


def test_shadow_keeps_the_pictures_on_which_they_disagree_and_replay_finds_them_again(stack):
    with Users(stack, range(0, 250, 60)):
        said = run(stack, "shadow", MODEL, "--to", "challenger", "--share", "1", "--requests", "20")
    assert "0 answered alike" in said and "cartoon -> photo" in said
    folder = Path("data/disagreements") / MODEL
    with (folder / "disagreements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["version"], row["other_version"]) for row in rows} == {("2", "3")}
    assert {(folder / row["file"]).read_bytes() for row in rows} == {
        grey(level) for level in range(0, 250, 60)
    }
    assert not serving_config.read().model_config_list.config[0].HasField("logging_config")

    log = str(shadow.LOGS / MODEL)
    of_2 = [one for one in traffic.in_log(Path(log), MODEL) if one.answer.version == 2]
    said = run(stack, "replay", MODEL, log, "--version", "3")
    assert f"{len(of_2)} pictures: 0 answered alike" in said
    said = run(stack, "replay", MODEL, log, "--version", "1")
    assert f"{len(of_2) + 20} pictures" in said, "with those that were mirrored"
    assert "unsure -> photo" in said


def test_guard_rolls_a_sabotaged_champion_back_and_leaves_a_good_one(stack):
    with Users(stack, range(0, 250, 30)):
        said = run(stack, "guard", MODEL, "--requests", "100")
        assert "nothing broke down" in said
        deploy.promote(stack, registry.get(MODEL, 3), registry.CHAMPION)
        said = run(stack, "guard", MODEL, "--requests", "200", code=1)
    assert "rolled back to version 2" in said and "differ from version 2's" in said
    assert registry.with_alias(MODEL, registry.CHAMPION).version == 2
    assert stack.predict(MODEL, [grey(200)], "stable").version == 2


def test_a_champion_that_answers_nobody_is_found(stack, monkeypatch):
    monkeypatch.setattr(shadow, "_POLL", 0.01)
    monkeypatch.setattr(shadow, "_answers", lambda *_: False)
    with shadow.request_log(stack, MODEL, 1.0) as log:
        why = shadow.watch(stack, MODEL, 1, log, lambda asked: asked >= 200)
    assert why.startswith("it fails")


def test_what_a_user_can_get_wrong(stack, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    for words, said in (
        (
            ["replay", MODEL, str(tmp_path / "empty"), "--version", "2"],
            "has no picture that another version",
        ),
        (["shadow", MODEL, "--to", "3", "--share", "2"], "--share 2 is not above 0"),
        (["shadow", "nobody", "--to", "3"], "has no champion of nobody"),
    ):
        done = CliRunner().invoke(main.app, [*words, "--server", stack.address])
        assert isinstance(done.exception, UserError) and said in str(done.exception)
