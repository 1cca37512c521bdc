"""A whole stack in a folder of its own: a small sample, trained, registered and served."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SMALL = {
    "sample": {"characters": 3, "illustrations": 12, "drawings": 24, "photos": 24},
    "facecrop": {"on_miss": "keep"},
    "train": {
        "colours": {"side": 256},
        "xception": {"image_size": 48, "width": 0.15, "epochs": 3},
        "sketchify": {"init": "none", "image_size": 64, "patch": 32, "width": 4},
        "cartoonizer": {
            "init": "none",
            "channels": 8,
            "discriminator_channels": 4,
            "image_size": 96,
            "batch_size": 2,
            "steps": 2,
        },
    },
}
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Training takes its time: tests/stages has theirs, and gradient and edges are as colours.
LEFT_OUT = ("photo_inception", "character_inception", "character_cnn", "gradient", "edges")


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def clone(folder: Path) -> "Project":
    """The project as it is in the working tree, in a git repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        results = name.startswith(("tests/", "metrics/", "reports/")) or name == "dvc.lock"
        if (ROOT / name).is_file() and not results:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    project = Project(folder)
    project.configure(SMALL)
    project.leave_out(LEFT_OUT)
    for words in (
        ["init", "-q"], ["add", "-A"],
        ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "small"],
    ):  # fmt: skip
        subprocess.run(["git", *words], cwd=folder, check=True)
    return project


def merge(content: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(content[key], value)
        else:
            content[key] = value


@dataclass
class Project:
    """A clone, and how to run its commands."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "CELFLOW_"))}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        # Sums of another number of threads are others, and so are figures.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
        own = {"PATH": path, "PYTHONPATH": str(self.folder), "COLUMNS": "200"}
        return {**kept, **threads, **own}

    def run(self, *words: object, code: int = 0) -> subprocess.CompletedProcess:
        """Run a command to its end, and look at its exit code."""
        done = subprocess.run(
            [str(word) for word in words], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=1200, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def fails(self, *words: object) -> str:
        """Run a command that a user has got wrong; returns its one line of error."""
        done = self.run(*words, code=1)
        assert "Traceback" not in done.stderr + done.stdout
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, done.stderr
        return lines[0]

    def leave_out(self, models: tuple[str, ...]) -> None:
        """Take models out of params.yaml."""
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        for model in models:
            del content["models"][model]
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def configure(self, changes: dict) -> None:
        """Change params.yaml."""
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        merge(content, changes)
        path.write_text(yaml.safe_dump(content, sort_keys=False))


@dataclass
class Stack(Project):
    """A clone whose models are trained and whose services run.

    colours has a version 1, the champion, and a version 2, the challenger, by which every picture
    is a photo.
    """

    ports: list[int] = field(default_factory=lambda: free_ports(4))
    process: subprocess.Popen | None = None

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[2]}"

    @property
    def picture(self) -> Path:
        return next((self.folder / "data/clean/cartoon_or_photo/cartoon").glob("*.png"))

    @property
    def port_flags(self) -> list[str]:
        names = ("--grpc-port", "--rest-port", "--dashboard-port", "--mlflow-port")
        return [
            word for name, port in zip(names, self.ports, strict=True) for word in (name, str(port))
        ]

    def celflow(self, *words: object, code: int = 0) -> subprocess.CompletedProcess:
        return self.run("celflow", *words, "--server", self.server, code=code)

    def promote(self, model: str, version: int) -> None:
        """Make a version champion, whatever the gate says."""
        self.celflow("promote", model, version, "--force")

    def reset(self) -> None:
        """Version 1 of colours is champion and 2 is challenger, whatever other tests did."""
        self.promote("colours", 1)
        self.celflow("promote", "colours", 2, "--to", "challenger")

    def up(self) -> None:
        with (self.folder / "up.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["celflow", "up", *self.port_flags], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_for(lambda: "Ctrl-C stops" in (self.folder / "up.log").read_text(), self.process)

    def down(self) -> int:
        """Ctrl-C; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def wait_for(ready: Callable[[], bool], process: subprocess.Popen, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.2)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Stack:
    """A stack with trained and registered models that nobody has started yet."""
    project = clone(tmp_path_factory.mktemp("stack"))
    stack = Stack(project.folder)
    if hasattr(os, "sched_setaffinity"):  # this process has the most to do: all cores are its
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    stack.run("make", "--old-file", ".venv/installed", "repro", "THREADS=1")
    stack.configure({"train": {"colours": {"threshold": 1.0}}})
    stack.run("dvc", "repro", "register@colours")
    stack.configure(SMALL | {"train": {**SMALL["train"], "colours": {"threshold": "tuned"}}})
    stack.run("dvc", "repro")
    return stack


@pytest.fixture(scope="session")
def stack(trained) -> Iterator[Stack]:
    """The trained stack, up and running; at the end, Ctrl-C stops everything."""
    trained.up()
    yield trained
    assert trained.down() == 0
    for port in trained.ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="module")  # no longer: its event loop runs as long
def browser() -> Iterator[Browser]:
    """Headless chromium."""
    chromium = shutil.which("chromium")
    assert chromium, "the browser tests need chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """A page of a visitor's own."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    yield page
    page.context.close()
