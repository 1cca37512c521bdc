"""`sign`, `diff --sheet` and `replay`: killed, on a full disk, with services away; then again."""

import os
import random
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient

from celflow import manifest, registry
from celflow.images import encode_png
from promotion import served_folder, shadow, signing
from serving.protos import prediction_log_pb2
from serving.tensors import to_proto

from ..dashboard.fake_model_server import FakeServer
from ..promotion.conftest import make_tiny, saved, store
from ..promotion.test_signing import demand, make_key
from ..promotion.tiny import TinyProject
from . import command_process
from .test_commands import until

__all__ = ["saved", "store"]
pytestmark = pytest.mark.slow
FULL = bool(os.environ.get("CELFLOW_FAULTS"))
ROUNDS = 20 if FULL else 2
NOBODY = "http://127.0.0.1:1"


class Commands:
    """A project, and `celflow WORDS` in it, undisturbed or with a fault."""

    def __init__(self, tiny: TinyProject) -> None:
        self.tiny, self.folder = tiny, tiny.folder

    def run(
        self, *words: object, most: int | None = None, kill_after: float = 120
    ) -> tuple[int, str]:
        """Exit code, -9 if it was killed, and what it printed. most: bytes that a file may have."""
        process = command_process.start(self.folder, [str(word) for word in words], most)
        process.join(kill_after)
        process.kill()
        process.join()
        assert process.exitcode is not None
        return process.exitcode, (self.folder / command_process.LOG).read_text()

    def seconds(self, *words: object) -> float:
        """How long a command takes, undisturbed."""
        began = time.monotonic()
        code, printed = self.run(*words)
        assert code == 0, printed
        return time.monotonic() - began


def refused_in_one_line(code: int, printed: str) -> bool:
    lines = printed.strip().splitlines()
    return code == 1 and lines[-1].startswith("error: ") and "Traceback" not in printed


@pytest.fixture
def commands(tmp_path, monkeypatch, saved, store) -> Commands:
    folder = tmp_path / "pictures of ünïcode 漢字"
    folder.mkdir()
    return Commands(make_tiny(folder, saved, store, monkeypatch))


def test_sign(commands):
    key, chance = make_key("mine"), random.Random("sign")
    demand("mine.pub")
    words = ("sign", "colours", 1, "--key", key)
    commands.tiny.register("colours", "b0")
    seconds = commands.seconds(*words)
    for _ in range(ROUNDS):
        MlflowClient().delete_model_version_tag("colours", "1", signing.SIGNATURE)
        commands.run(*words, kill_after=chance.uniform(0, seconds))
        if signing.SIGNATURE in registry.get("colours", 1).tags:
            served_folder.materialize(registry.get("colours", 1))
        code, printed = commands.run(*words, most=2 ** chance.randint(6, 16))
        assert code == 0 or refused_in_one_line(code, printed), printed
        assert "as a key" not in printed
        assert commands.run(*words)[0] == 0
        served_folder.materialize(registry.get("colours", 1))


def test_sign_while_mlflow_is_away(commands, monkeypatch):
    words = ("sign", "colours", 1, "--key", make_key("mine"))
    commands.tiny.register("colours", "b0")
    assert commands.tiny.run(*words)[0] == 0
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", NOBODY)
        code, printed = commands.tiny.run(*words)
    assert refused_in_one_line(code, printed) and "no MLflow answers" in printed
    assert commands.tiny.run(*words)[0] == 0


@pytest.mark.timeout(3600)
def test_diff_sheet(commands):
    write_test_pictures()
    for kind in ("b0", "b4"):
        commands.tiny.register("xception", kind)
    chance, sheet = random.Random("diff"), Path("sheets") / "ねこ.png"
    words = ("diff", "xception", 1, 2, "--sheet", sheet)
    seconds = commands.seconds(*words)
    undisturbed = sheet.read_bytes()
    for _ in range(ROUNDS if FULL else 1):  # each starts a server three times
        sheet.unlink()
        code, _ = commands.run(*words, kill_after=chance.uniform(0, seconds))
        if code == -9:
            assert not sheet.exists() or sheet.read_bytes() == undisturbed
            until(lambda: not servers_of(commands.folder))
        sheet.unlink(missing_ok=True)
        code, printed = commands.run(*words, most=2 ** chance.randint(6, 16))
        assert code == 0 or refused_in_one_line(code, printed), printed
        assert sheet.exists() == (code == 0)
        sheet.unlink(missing_ok=True)
        assert commands.run(*words)[0] == 0
        assert [file.name for file in sheet.parent.iterdir()] == [sheet.name]
        assert sheet.read_bytes() == undisturbed


def test_replay(commands):
    server, chance = FakeServer(), random.Random("replay")
    pictures = [encode_png(np.full((8, 8, 3), level, np.uint8)) for level in range(250)]
    write_log(Path("log"), pictures)
    words = ("replay", "xception", "log", "--version", 1)
    kept = shadow.DISAGREEMENTS / "xception"

    def found() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in kept.iterdir()}

    def asking() -> tuple[object, ...]:
        return (*words, "--server", server.address)

    seconds = commands.seconds(*asking())
    undisturbed = found()
    assert len(undisturbed) == len(pictures) + 1
    assert commands.run(*asking())[0] == 0 and found() == undisturbed
    for _ in range(ROUNDS):
        shutil.rmtree(kept)
        code, _ = commands.run(*asking(), kill_after=chance.uniform(seconds / 2, seconds))
        assert code in (0, -9)
        code, printed = commands.run(*asking(), most=2 ** chance.randint(6, 14))
        assert code == 0 or refused_in_one_line(code, printed), printed
        process = command_process.start(commands.folder, [str(word) for word in asking()])
        time.sleep(chance.uniform(seconds / 2, seconds))
        server.stop()
        process.join(60)
        printed = (commands.folder / command_process.LOG).read_text()
        assert process.exitcode == 0 or refused_in_one_line(process.exitcode, printed), printed
        server = FakeServer(server.port)
        assert commands.run(*asking())[0] == 0
        assert found() == undisturbed
    server.stop()


def write_test_pictures() -> None:
    rows = []
    for number in range(20):
        path = Path(f"data/{number}.png")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_png(np.full((16, 16, 3), 12 * number, np.uint8)))
        rows.append((str(path), ("cartoon", "photo")[number % 2], "test", "", ""))
    Path("data/split").mkdir()
    table = pd.DataFrame(rows, columns=manifest.COLUMNS)
    table.to_csv("data/split/cartoon_or_photo.csv", index=False)


def servers_of(folder: Path) -> list[psutil.Process]:
    """The model servers that were started in a folder and still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if "serving.server" in process.cmdline() and process.cwd() == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def write_log(file: Path, pictures: list[bytes]) -> None:
    """A request log in which version 2 of xception was asked pictures and called all cartoons."""
    with file.open("wb") as out:
        for picture in pictures:
            log = prediction_log_pb2.PredictionLog()
            asked, answered = log.predict_log.request, log.predict_log.response
            asked.model_spec.name = "xception"
            asked.inputs["image_bytes"].CopyFrom(to_proto(np.array([picture], object)))
            answered.model_spec.version.value = 2
            answered.outputs["scores"].CopyFrom(to_proto(np.float32([[0.9, 0.1]])))
            names = np.array([[b"cartoon", b"photo"]], object)
            answered.outputs["classes"].CopyFrom(to_proto(names))
            record = log.SerializeToString()
            out.write(struct.pack("<QI", len(record), 0) + record + bytes(4))
