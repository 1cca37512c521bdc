"""The Compose file and its images: valid, nothing open to the network, configs that parse."""

import os
import re
import site
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from packaging.requirements import Requirement

from .container_files import COMPOSE, CONFIGS, SERVING, check, parse, schema
from .model_server import ROOT

BIND = "${CELFLOW_BIND:-127.0.0.1}:"


def test_compose_is_valid() -> None:
    check(COMPOSE, schema("compose"))


def test_compose_listens_on_localhost_unless_told() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith(BIND) for port in ports)
    for secret in ("postgres", "minio"):
        assert "ports" not in COMPOSE["services"][secret]
    assert not any("network_mode" in service for service in COMPOSE["services"].values())


def test_compose_services_are_whole() -> None:
    services, volumes = COMPOSE["services"], set(COMPOSE["volumes"])
    used = set()
    for service in services.values():
        assert len(service["healthcheck"]["test"]) > 1
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            if volume.startswith("."):
                inside_the_project = ("../data",)
                source = volume.split(":")[0]
                assert source in inside_the_project or (SERVING / source).exists(), volume
            elif not volume.startswith("$"):
                used.add(volume.split(":")[0])
    assert used == volumes
    assert services["tensorflow-serving"]["profiles"] == ["cpu"]
    assert services["tensorflow-serving-gpu"]["profiles"] == ["gpu"]
    assert services["tensorflow-serving-gpu"]["image"].endswith("-gpu")
    targets = re.findall(r"^FROM \S+ AS (\w+)$", (SERVING / "Dockerfile").read_text(), re.MULTILINE)
    built = [service["build"] for service in services.values() if "build" in service]
    assert {build["target"] for build in built} < set(targets)
    assert all((SERVING / build["context"] / build["dockerfile"]).is_file() for build in built)


class Page(BaseHTTPRequestHandler):
    """Answers at one path."""

    path_ = "/monitoring/prometheus/metrics"

    def do_GET(self) -> None:
        self.send_response(200 if self.path == self.path_ else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("tensorflow-serving", "/monitoring/prometheus/metrics"),
        ("mlflow", "/health"),
        ("dashboard", "/_stcore/health"),
    ],
)
def test_health_checks_see_health_and_its_lack(
    service: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "path_", path)
    _, program, *words = COMPOSE["services"][service]["healthcheck"]["test"]
    program = sys.executable if program == "python" else program

    def healthy(port: int) -> bool:
        told = [
            re.sub(r"127\.0\.0\.1([:/])\d+", rf"127.0.0.1\g<1>{port}", word).replace("$$", "$")
            for word in words
        ]
        return subprocess.run([program, *told], capture_output=True, timeout=30).returncode == 0

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert healthy(server.server_port)
            monkeypatch.setattr(Page, "path_", "/elsewhere")
            assert not healthy(server.server_port)
        finally:
            server.shutdown()
            thread.join()
    assert not healthy(server.server_port)


def test_prometheus_asks_where_the_server_answers() -> None:
    config = yaml.safe_load((SERVING / "config/prometheus.yaml").read_text())
    check(config, schema("prometheus"))
    (job,) = config["scrape_configs"]
    monitoring = parse("monitoring")
    assert monitoring.prometheus_config.path == job["metrics_path"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    service = COMPOSE["services"]["tensorflow-serving"]
    assert host in service["networks"]["default"]["aliases"]
    assert f"--rest_api_port={port}" in service["command"]


@pytest.mark.parametrize("name", CONFIGS)
def test_config_files_survive_a_round_trip_through_their_protos(name: str) -> None:
    content = parse(name)
    assert content.ByteSize()
    assert text_format.Parse(text_format.MessageToString(content), CONFIGS[name]()) == content


def test_batching_is_sound() -> None:
    batching = parse("batching")
    assert not batching.allowed_batch_sizes, "a batch that is filled up costs as much as a full one"
    assert batching.max_batch_size.value >= 2 and batching.num_batch_threads.value >= 1


def closure(names: list[str]) -> set[str]:
    """Distributions that pip would install for `names`, of those that are installed here."""
    seen: set[str] = set()
    queue = list(names)
    while queue:
        name = re.sub(r"[-_.]+", "-", queue.pop()).lower()
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if name in seen:
            continue
        seen.add(name)
        for line in needs:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                queue.append(need.name)
    return seen


def test_the_dashboards_image_has_all_it_imports_and_no_tensorflow(tmp_path: Path) -> None:
    dockerfile = (SERVING / "Dockerfile").read_text().replace("\\\n", " ")
    stage = dockerfile.split("AS dashboard")[1]
    (line,) = re.findall(r"RUN pip install --constraint requirements.lock(.*)", stage)
    installed = closure(line.split())
    assert "streamlit" in installed
    assert "tensorflow" not in installed

    packages, messages = tmp_path / "packages", tmp_path / "messages"
    packages.mkdir()
    for name in installed:
        distribution = metadata.distribution(name)
        for top in {Path(file).parts[0] for file in distribution.files or ()} - {
            "..",
            "__pycache__",
        }:
            if not (packages / top).exists():
                (packages / top).symlink_to(distribution.locate_file(top))
    library = Path(next(p for p in site.getsitepackages() if (Path(p) / "tensorflow").is_dir()))
    for top in ("tensorflow", "tensorflow_serving"):  # what the stage `messages` keeps
        for file in (library / top).rglob("*_pb2*.py"):
            kept = messages / file.relative_to(library)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.symlink_to(file)
    project = tmp_path / "celflow"
    (project / "serving").mkdir(parents=True)
    for copied in ("params.yaml", "celflow", "dashboard", "sorting"):
        (project / copied).symlink_to(ROOT / copied)
    for file in (*SERVING.glob("*.py"), SERVING / "client"):
        (project / "serving" / file.name).symlink_to(file)
    code = (
        "import sys, animeface, cv2\n"
        "from dashboard import server_status\n"
        "from dashboard.views import compare, data, draw, label, models, sort, try_it\n"
        "from serving.client import Client\n"
        "Client().close()\n"
        "assert 'tensorflow' not in sys.modules"
    )
    # -S: no site-packages but those laid out above.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=project, capture_output=True, text=True,
        timeout=120,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, (project, messages, packages))),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
