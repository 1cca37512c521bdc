"""The command line itself; what its commands do to a whole project is tested in e2e."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from celflow import registry
from celflow.errors import UserError
from celflow.images import encode_png, open_image
from cli import main, options, picture_files, services
from serving.client import BadInput, Prediction, ServerDown
from serving.labels import LABELS

COMMANDS = (
    "up", "serve", "predict", "draw", "sort", "watch", "enroll", "forget", "import", "models",
    "show", "diff", "gate", "promote", "rollback", "history", "sign", "verify", "status",
    "register", "deploy", "replay", "shadow", "guard", "listen",
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


@pytest.mark.skipif(not shutil.which("setpriv"), reason="nobody tells a child of its parent's end")
def test_services_end_with_a_celflow_that_was_killed(tmp_path):
    code = (
        "import sys, time; from cli.services import Service; idle = 'import time; time.sleep(99)';"
        "service = Service('idle', [sys.executable, '-c', idle], {}, bool); service.start();"
        "print(service.process.pid, flush=True); time.sleep(99)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as celflow:  # fmt: skip
        service = psutil.Process(int(celflow.stdout.readline()))
        celflow.kill()
    psutil.wait_procs([service], timeout=20)
    assert not service.is_running() or service.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(not shutil.which("setpriv"), reason="nobody tells a child of its parent's end")
def test_a_child_whose_parent_ended_at_once_ends_too(tmp_path):
    code = (
        "import os, subprocess, sys; from celflow.child_processes import ends_with_parent;"
        "idle = [sys.executable, '-c', 'import time; time.sleep(99)'];"
        "print(subprocess.Popen(ends_with_parent(idle)).pid, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=tmp_path, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        with suppress(psutil.NoSuchProcess):
            child = psutil.Process(int(done.stdout))
            psutil.wait_procs([child], timeout=20)
            assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


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


class FakeClient:
    """Calls a picture cartoon if its first pixel is white, photo if black, else unsure."""

    def __init__(self, address: str, **options: float) -> None:
        pass

    def __enter__(self) -> "FakeClient":
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def predict(self, model, images, version):
        first = int(open_image(images[0]).pixels[0, 0, 0])
        if first == 7:
            raise BadInput("it is a seven", "INVALID_ARGUMENT")
        verdict = {255: "cartoon", 0: "photo"}.get(first, "unsure")
        outputs = {
            "scores": np.float32([[0.5, 0.5]]),
            "classes": np.array([[b"cartoon", b"photo"]], object),
            "verdict": np.array([verdict.encode()], object),
        }
        return Prediction(model, 1, outputs, 1.0)

    def draw(self, model, image, version, **styles):
        if open_image(image).pixels[0, 0, 0] == 7:
            raise BadInput("it is a seven", "INVALID_ARGUMENT")
        FakeClient.drawn += 1
        return Prediction(model, 1, {"image_png": np.array([image], object)}, 1.0)

    drawn = 0


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder with a white, a black and a grey picture, one that is refused, and no picture."""
    monkeypatch.setattr("serving.client.Client", FakeClient)
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "in"
    (folder / "[deep] é").mkdir(parents=True)
    for name, value in (("a", 255), ("b", 0), ("[deep] é/a", 99), ("seven", 7)):
        (folder / f"{name}.png").write_bytes(encode_png(np.full((9, 9, 3), value, np.uint8)))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize("mode", ["--copy", "--move", "--link"])
def test_sort_makes_a_pile_for_each_verdict(pictures, tmp_path, mode):
    out = tmp_path / "out"
    words = ["sort", str(pictures), "--to", str(out), mode]
    dry = json.loads(runner.invoke(main.app, [*words, "--dry-run", "--json"]).output)
    assert dry["piles"] == {"cartoon": 1, "photo": 1, "unsure": 1} and not out.exists()
    shown = runner.invoke(main.app, words)
    assert shown.exit_code == 0, shown.output
    piles = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert piles == ["cartoon/a.png", "photo/b.png", "unsure/[deep] é/a.png"]
    left = {path.name for path in pictures.rglob("*") if path.is_file()}
    names = {"seven.png", "notes.txt"}
    assert left == (names if mode == "--move" else names | {"a.png", "b.png"})
    for why in ("notes.txt: the file is no", "it is a seven"):
        assert why in shown.output.replace("\n", " ")
    again = runner.invoke(main.app, [*words, "--json"])
    assert json.loads(again.output)["piles"] == dry["piles"]
    back = runner.invoke(main.app, ["sort", str(pictures), "--to", str(out), "--undo"])
    assert back.exit_code == 0 and "3 files are back" in back.output
    assert not out.exists() and len(list(pictures.rglob("*.png"))) == 4


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--resume"], "nothing was begun"), (["--undo"], "nothing to undo"),
     (["--model", "sketchify"], "sort by one that classifies"), (["--model", "x"], "no model 'x'")],
)  # fmt: skip
def test_sort_says_what_is_wrong(pictures, tmp_path, more, words):
    done = runner.invoke(main.app, ["sort", str(pictures), "--to", str(tmp_path / "o"), *more])
    assert isinstance(done.exception, UserError) and words in str(done.exception)


def test_sort_goes_nowhere_above_its_own_folder(pictures):
    done = runner.invoke(main.app, ["sort", str(pictures), "--to", str(pictures.parent)])
    assert isinstance(done.exception, UserError) and "--to" in str(done.exception)
    done = runner.invoke(main.app, ["sort", str(pictures), "--move", "--link"])
    assert done.exit_code == 2


@pytest.mark.slow
def test_watch_sorts_what_arrives(pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr("sorting.arrivals.QUIET", 0.3)

    def arrive() -> None:
        deadline = time.monotonic() + 30
        while not (out / "cartoon/a.png").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        (pictures / "late.png").write_bytes((pictures / "a.png").read_bytes())
        while not (out / "cartoon/late.png").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=arrive)
    thread.start()
    shown = runner.invoke(main.app, ["watch", str(pictures), "--to", str(out)])
    thread.join()
    assert shown.exit_code == 0, shown.output
    assert "late.png: cartoon" in shown.output and (out / "cartoon/late.png").exists()


def test_predict_goes_on_after_a_bad_file(pictures):
    (pictures / "broken.jpg").write_bytes(b"no picture")
    words = ["predict", "xception", str(pictures), "--json"]
    done = runner.invoke(main.app, words)
    answers = json.loads(done.output)
    assert done.exit_code == 1
    assert {Path(one["file"]).name for one in answers if "error" in one} == {
        "broken.jpg",
        "seven.png",
    }
    assert len(answers) == 5  # notes.txt is not called a picture
    table = runner.invoke(main.app, words[:-1])
    assert table.exit_code == 1 and "left out" in table.output


def test_draw_skips_what_is_done_and_overwrites_nothing(pictures, tmp_path):
    out = tmp_path / "drawn"
    out.mkdir()
    (out / "b.png").write_bytes(b"the user's own")
    for kind in ("bmp", "tiff"):
        Image.new("RGB", (9, 9)).save(pictures / f"t.{kind}")
    words = ["draw", "cartoonizer", str(pictures), "--out", str(out)]
    done = runner.invoke(main.app, words)
    assert done.exit_code == 1
    assert "seven.png: it is a seven" in done.output and "b.png is there already" in done.output
    assert (out / "b.png").read_bytes() == b"the user's own"
    made = {str(path.relative_to(out)) for path in out.rglob("*.png")}
    assert made == {"a.png", "b.png", "[deep] é/a.png", "t.bmp.png", "t.tiff.png"}
    drawn = FakeClient.drawn
    runner.invoke(main.app, words)
    assert FakeClient.drawn == drawn
    runner.invoke(main.app, [*words, "--again"])
    assert FakeClient.drawn == drawn + 4
    runner.invoke(main.app, [*words, "--strength", "0.2"])
    assert FakeClient.drawn == drawn + 8


def test_names_of_any_bytes_and_any_console(pictures):
    """What a console's encoding lacks is escaped; JSON is UTF-8 all the same."""
    for name in (b"latin\xe9.png", "テスト.png".encode(), b"two\nlines.png"):
        shutil.copy(pictures / "a.png", pictures / os.fsdecode(name))
    code = "import serving.client, tests.cli.test_commands as t; " \
        "serving.client.Client = t.FakeClient; import cli.main; cli.main.main()"  # fmt: skip
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "predict", "xception", str(pictures), *more],
            capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        )  # fmt: skip
        assert done.returncode == 1 and b"Traceback" not in done.stderr
    names = {Path(one["file"]).name for one in json.loads(done.stdout.decode("utf-8"))}
    assert {"latin\\xe9.png", "テスト.png", "two\nlines.png"} <= names


def test_version_and_sub_folders(tmp_path):
    def celflow(*words: str, here: Path) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", "import cli.main; cli.main.main()", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)

    assert celflow("--version", here=tmp_path).stdout.startswith("celflow ")
    (tmp_path / "deep/pictures").mkdir(parents=True)
    words = ("sort", "pictures", "--undo", "--to", "piles")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = celflow(*words, here=tmp_path / "deep")
    assert done.returncode == 1 and f"{tmp_path}/deep/piles has no journal" in done.stderr
    done = celflow("sort", "nowhere", here=tmp_path / "deep")
    assert done.stderr == f"error: no folder {tmp_path}/deep/nowhere\n"


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


def test_predict_prints_what_was_answered_before_the_server_went_away(pictures, monkeypatch):
    class Leaving(FakeClient):
        def predict(self, model, images, version):
            if open_image(images[0]).pixels[0, 0, 0] == 0:
                raise ServerDown("no model server answers", "UNAVAILABLE")
            return super().predict(model, images, version)

    monkeypatch.setattr("serving.client.Client", Leaving)
    files = [str(pictures / name) for name in ("a.png", "b.png")]
    done = runner.invoke(main.app, ["predict", "xception", *files, "--json"])
    assert [one["verdict"] for one in json.loads(done.stdout)] == ["cartoon"]
    assert isinstance(done.exception, ServerDown)
    done = runner.invoke(main.app, ["predict", "xception", *reversed(files), "--json"])
    assert done.stdout == "" and isinstance(done.exception, ServerDown)
