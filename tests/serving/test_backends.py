"""Which server is started, and how: programs on the PATH are scripts that note their words."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from celflow.errors import UserError
from cli import main
from serving import backends
from serving.backends import Backend
from serving.server import flags as command_line

from .model_server import ROOT

TAG = "1.2.3"
NOTE = 'printf "%s\\n" "$0" "$@" > "$NOTED"\n'
PROGRAM = "#!/bin/sh\n"
# An engine without an image, with one, and one that is not running.
DOCKER = """
case "$1" in
    info) echo '{"runc": {}%s}' ;;
    image) exit %d ;;
    *) %s ;;
esac
"""
DEAD = "echo 'Cannot connect to the Docker daemon. Is it running?' >&2; exit 1\n"


class Programs:
    """A PATH with nothing on it but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.noted = folder / "noted"

    def put(self, name: str, code: str) -> str:
        path = self.folder / name
        path.write_text(PROGRAM + code)
        path.chmod(0o755)
        return str(path)

    def docker(self, runtime: str = "", image: bool = True) -> str:
        return self.put("docker", DOCKER % (runtime, 0 if image else 1, NOTE))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    found = Programs(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NOTED", str(found.noted))
    monkeypatch.setenv(backends.TAG_VARIABLE, TAG)
    return found


def launch(backend: Backend = Backend.auto, host: str = "127.0.0.1", *more: str) -> backends.Launch:
    return backends.launch(backend, host, 1500, 1501, Path("/project/served/models.config"), more)


def test_auto_takes_the_first_that_is_there(programs: Programs) -> None:
    assert launch().backend is Backend.embedded
    programs.put("docker", DEAD)
    assert launch().backend is Backend.embedded
    programs.docker(image=False)
    assert launch().backend is Backend.embedded, "nothing is fetched unasked"
    programs.docker()
    assert launch().backend is Backend.docker
    programs.put(backends.BINARY, NOTE)
    assert launch().backend is Backend.binary


def test_all_are_started_with_the_same_flags(programs: Programs) -> None:
    programs.docker()
    binary = programs.put(backends.BINARY, NOTE)
    commands = {
        backend: launch(backend, "127.0.0.1", "--rest_api_num_threads=3").command
        for backend in Backend
        if backend is not Backend.auto
    }
    flags = commands[Backend.binary][1:]
    assert commands[Backend.binary][0] == binary
    assert all(command[-len(flags) :] == flags for command in commands.values())
    asked = command_line.parse(flags)
    assert (asked.port, asked.rest_api_port, asked.rest_api_num_threads) == (1500, 1501, 3)
    assert asked.model_config_file == "/project/served/models.config"
    assert commands[Backend.embedded][: -len(flags)] == [
        sys.executable, "-m", "serving.server", "--host=127.0.0.1",
    ]  # fmt: skip


def test_docker_publishes_on_the_host_and_sees_the_files_where_they_are(programs: Programs) -> None:
    docker = programs.docker()
    words = shlex.join(launch(Backend.docker).command)
    assert words.startswith(f"{docker} run --rm --init ")
    assert "--publish 127.0.0.1:1500:1500 --publish 127.0.0.1:1501:1501" in words
    assert "type=bind,source=/project/served,target=/project/served,readonly" in words
    assert f" --entrypoint {backends.BINARY} tensorflow/serving:{TAG} --port=" in words
    assert "--publish '[::1]:1500:1500'" in shlex.join(launch(Backend.docker, "::1").command)


def test_a_gpu_gets_its_image(programs: Programs) -> None:
    programs.docker(runtime=', "nvidia": {}')
    assert f" --gpus all --entrypoint {backends.BINARY} tensorflow/serving:{TAG}-gpu " in (
        shlex.join(launch().command)
    )


@pytest.mark.parametrize(
    ("backend", "code", "words"),
    [
        (Backend.binary, "", "no tensorflow_model_server on the PATH"),
        (Backend.docker, "", "no docker on the PATH"),
        (Backend.docker, DEAD, "Docker can't be used: Cannot connect to the Docker daemon"),
        (Backend.docker, "exec sleep 5", "Docker does not answer"),
    ],
)
def test_what_is_not_there_is_one_line(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, backend: Backend, code: str, words: str
) -> None:
    monkeypatch.setattr(backends, "_DOCKER_TIMEOUT", 0.5 if "sleep" in code else 10)
    if code:
        programs.put("docker", code.replace("sleep", "/bin/sleep"))
    with pytest.raises(UserError, match=words) as refusal:
        launch(backend)
    assert "\n" not in str(refusal.value)


def test_the_binary_listens_everywhere_and_a_person_is_told(programs: Programs) -> None:
    programs.put(backends.BINARY, NOTE)
    assert "every address, not just 127.0.0.1" in launch().note
    assert not launch(Backend.auto, "0.0.0.0").note
    assert not launch(Backend.embedded).note


def test_the_images_tag_is_the_version_of_the_installed_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(backends.TAG_VARIABLE, raising=False)
    locked = (ROOT / "requirements.lock").read_text().splitlines()
    assert f"tensorflow-serving-api=={backends.image_tag()}" in locked


def test_dry_run_prints_the_command_and_starts_nothing(programs: Programs) -> None:
    programs.put(backends.BINARY, NOTE)
    words = ["serve", "--backend", "binary", "--grpc-port", "1500", "--dry-run", "--", "--x=1"]
    shown = CliRunner().invoke(main.app, words)
    assert shown.exit_code == 0
    command = shlex.split(shown.stdout)
    assert command[0].endswith(backends.BINARY)
    assert "--port=1500" in command
    assert command[-1] == "--x=1"
    assert not programs.noted.exists()


def test_serve_deploys_and_becomes_the_server(programs: Programs) -> None:
    programs.docker()
    code = (
        "from promotion import deploy\n"
        "deploy.deploy = lambda client: print('deployed to', client.address, flush=True)\n"
        "from cli.main import app\n"
        "app(['serve', '--grpc-port', '1500', '--', '--enable_batching=true'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=programs.folder, timeout=60,
        capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "deployed to 127.0.0.1:1500" in done.stdout
    noted = programs.noted.read_text().splitlines()
    assert noted[1:4] == ["run", "--rm", "--init"]
    assert f"tensorflow/serving:{TAG}" in noted
    assert f"--model_config_file={programs.folder}/served/models.config" in noted
    assert noted[-1] == "--enable_batching=true"
