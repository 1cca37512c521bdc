"""The command line itself; what its commands do to a house is tested in e2e."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from celflow.errors import UserError
from cli import main, up

COMMANDS = (
    "up", "serve", "predict", "enroll", "forget", "models", "promote", "rollback", "deploy",
)  # fmt: skip
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
    service = up.Service("store", [sys.executable, "-c", code], {}, lambda: False)
    service.start()
    assert service.process is not None
    service.process.wait(30)
    with pytest.raises(UserError, match=r"store ended by itself.*store\.log.*the disk is full"):
        service.check()
    service.stop()


def test_a_service_that_does_not_listen_to_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(up, "STOP_TIMEOUT", 1.0)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(60)"
    )
    service = up.Service("deaf", [sys.executable, "-c", code], {}, lambda: False)
    service.start()
    while "ready" not in (tmp_path / "logs/deaf.log").read_text():
        service.check()
    service.stop()
    assert service.process is not None and service.process.poll() is not None
