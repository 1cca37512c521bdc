"""The command line itself; what its commands do to a whole project is tested in e2e."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from celflow import registry
from celflow.errors import UserError
from celflow.images import encode_png, open_image
from cli import draw_command, main, options, picture_files, services
from serving.client import BadInput, Prediction
from serving.labels import LABELS

COMMANDS = (
    "up", "serve", "predict", "draw", "sort", "enroll", "forget", "models", "show", "diff",
    "promote", "rollback", "history", "verify", "status", "register", "deploy",
)  # fmt: skip
ROOT = Path(__file__).parents[2]
runner = CliRunner()


def test_help_names_every_command():
    shown = runner.invoke(main.app, ["--help"])
    assert shown.exit_code == 0
    for command in COMMANDS:
        assert command in shown.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    shown = runner.invoke(main.app, [command, "--help"])
    assert shown.exit_code == 0 and "Usage" in shown.output


@pytest.mark.parametrize(
    "words",
    [["nonsense"], ["promote"], ["predict", "xception"], ["enroll", "aki"], ["up", "--x"]],
)
def test_bad_usage_ends_with_two(words):
    assert runner.invoke(main.app, words).exit_code == 2


def test_help_imports_nothing_heavy():
    code = (
        "import sys, cli.main;"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'pandas', 'numpy', 'cv2', 'grpc', 'stages'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_user_error_is_one_line_and_exit_one(monkeypatch, capsys):
    def fail() -> None:
        raise UserError("the sky is not blue: look again")

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: the sky is not blue: look again\n"


def test_a_service_that_ends_shows_its_last_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "print('one'); print('the disk is full'); raise SystemExit(3)"
    service = services.Service("store", [sys.executable, "-c", code], {}, lambda: False)
    service.start()
    assert service.process is not None
    service.process.wait(30)
    with pytest.raises(UserError, match=r"store ended by itself.*store\.log.*the disk is full"):
        service.check()
    service.stop()


def test_a_service_that_does_not_listen_to_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(services, "STOP_TIMEOUT", 1.0)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(60)"
    )
    service = services.Service("deaf", [sys.executable, "-c", code], {}, lambda: False)
    service.start()
    while "ready" not in (tmp_path / "logs/deaf.log").read_text():
        service.check()
    service.stop()
    assert service.process is not None and service.process.poll() is not None


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("example.org", "example.org")],
)
def test_the_address_of_a_host_on_this_machine(host, address):
    assert options.reachable(host) == address


def test_versions_by_number_alias_and_label():
    assert {registry.CHAMPION: "stable", registry.CHALLENGER: "canary"} == LABELS
    options = (None, "7", "champion", "challenger", "canary")
    found = [picture_files.version_or_label(option) for option in options]
    assert found == ["stable", 7, "stable", "canary", "canary"]
    with pytest.raises(UserError, match="no version 99999999999999999999"):
        picture_files.version_or_label("9" * 20)


@pytest.mark.parametrize(
    ("files", "out", "words"),
    [
        (["a/x.png"], "a", "would be overwritten"),
        (["a/x.png", "b/x.jpg"], "o", "a/x.png and b/x.jpg would both become o/x.png"),
    ],
)
def test_a_drawing_takes_no_other_pictures_place(tmp_path, monkeypatch, files, out, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        draw_command._targets([Path(file) for file in files], Path(out))


class FakeClient:
    """Calls a picture cartoon if its first pixel is white, photo if black, else unsure."""

    def __init__(self, address: str) -> None:
        pass

    def __enter__(self) -> "FakeClient":
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def predict_many(self, model, images, version):
        for data in images:
            first = int(open_image(data).pixels[0, 0, 0])
            if first == 7:
                yield BadInput("it is a seven", "INVALID_ARGUMENT")
                continue
            verdict = {255: "cartoon", 0: "photo"}.get(first, "unsure")
            outputs = {
                "scores": np.float32([[0.5, 0.5]]),
                "classes": np.array([[b"cartoon", b"photo"]], object),
                "verdict": np.array([verdict.encode()], object),
            }
            yield Prediction(model, 1, outputs, 1.0)


@pytest.mark.parametrize("more", [[], ["--move"]])
def test_sort_makes_a_pile_for_each_verdict(tmp_path, monkeypatch, more):
    monkeypatch.setattr("serving.client.Client", FakeClient)
    monkeypatch.chdir(ROOT)
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "[deep] é").mkdir(parents=True)
    for name, value in (("a", 255), ("b", 0), ("[deep] é/a", 99), ("seven", 7)):
        (folder / f"{name}.png").write_bytes(encode_png(np.full((9, 9, 3), value, np.uint8)))
    (folder / "notes.txt").write_text("no picture")
    words = ["sort", "xception", str(folder), "--out", str(out), *more]
    shown = runner.invoke(main.app, words)
    assert shown.exit_code == 0, shown.output
    piles = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert piles == ["cartoon/a.png", "photo/b.png", "unsure/[deep] é/a.png"]
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == ({"seven.png", "notes.txt"} if more else {"a.png", "b.png"} | left)
    for why in ("notes.txt: the file is none of", "it is a seven"):
        assert why in shown.output.replace("\n", " ")
    again = runner.invoke(main.app, words)
    assert isinstance(again.exception, UserError) and "--out" in str(again.exception)


class FaceServer:
    """A model server whose face_detector finds two faces, in one picture none; it remembers what
    it was asked."""

    empty = b""

    def __init__(self, address: str) -> None:
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        FaceServer.last = self

    def __enter__(self) -> "FaceServer":
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def predict(self, model: str, images: list[bytes], version: object) -> Prediction:
        self.asked.append((model, open_image(images[0]).pixels.shape[:2]))
        if model == "face_detector":
            boxes = np.zeros((1, 4, 4), np.float32)
            boxes[0, :2] = [(60.2, 10, 30, 30), (5, 20, 48.4, 48)]
            scores = np.array([[0.9, 0.8, 0, 0]], np.float32)
            found = 0 if images[0] == FaceServer.empty else 2
            outputs = {"boxes": boxes, "scores": scores, "count": np.array([found], np.int32)}
        elif model == "character_embedding":
            classes = np.array([[b"aki", b"beni", b"unknown"]], object)
            outputs = {"scores": np.array([[0.04, 0.06, 0.9]], np.float32), "classes": classes}
        else:
            classes = np.array([[b"aki", b"beni"]], object)
            outputs = {"scores": np.array([[0.7, 0.3]], np.float32), "classes": classes}
        return Prediction(model, 1, outputs, 1.0)


@pytest.fixture
def face_server(tmp_path, monkeypatch, noise):
    monkeypatch.setattr("serving.client.Client", FaceServer)
    monkeypatch.chdir(ROOT)
    picture = tmp_path / "two.png"
    picture.write_bytes(encode_png(noise(80, 120)))
    return picture


def test_predict_shows_where_faces_are(face_server):
    shown = runner.invoke(main.app, ["predict", "face_detector", str(face_server), "--json"])
    (answer,) = json.loads(shown.output)
    assert answer["faces"][0] == {"x": 60, "y": 10, "w": 30, "h": 30, "score": 0.9}
    assert len(answer["faces"]) == 2 and "verdict" not in answer
    table = runner.invoke(main.app, ["predict", "face_detector", str(face_server)])
    assert table.exit_code == 0 and "2 faces" in table.output


def test_character_models_get_the_faces_that_the_detector_finds(face_server):
    shown = runner.invoke(main.app, ["predict", "character_cnn", str(face_server), "--json"])
    assert [one["file"][-6:] for one in json.loads(shown.output)] == ["face 1", "face 2"]
    detector, *faces = FaceServer.last.asked
    assert detector == ("face_detector", (80, 120))
    assert faces == [("character_cnn", (56, 56)), ("character_cnn", (35, 34))]  # largest first


def test_of_nobody_known_the_nearest_are_named(face_server):
    words = ["predict", "character_embedding", str(face_server), "--top", "1"]
    answer = json.loads(runner.invoke(main.app, [*words, "--json"]).output)[0]
    assert answer["verdict"] == "unknown" and list(answer["scores"]) == ["unknown", "beni"]
    table = runner.invoke(main.app, words).output
    assert "unknown" in table and "beni" in table and "aki" not in table


def test_no_face_means_no_name(face_server, monkeypatch):
    monkeypatch.setattr(FaceServer, "empty", face_server.read_bytes())
    words = ["predict", "character_cnn", str(face_server)]
    (answer,) = json.loads(runner.invoke(main.app, [*words, "--json"]).output)
    assert answer["verdict"] == "no face found" and answer["scores"] == {}
    assert [model for model, _ in FaceServer.last.asked] == ["face_detector"]
    assert "no face found" in runner.invoke(main.app, words).output
    (answer,) = json.loads(runner.invoke(main.app, [*words, "--json", "--whole"]).output)
    assert answer["scores"] == pytest.approx({"aki": 0.7, "beni": 0.3}, abs=1e-6)
