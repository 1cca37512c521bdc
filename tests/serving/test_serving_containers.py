"""The files for containers: valid, consistent, nothing open to the network, configs that parse."""

import json
import os
import re
import shutil
import site
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from jsonschema import Draft202012Validator
from packaging.requirements import Requirement

from serving import backends, config_protos
from serving.protos import model_server_config_pb2

from .model_server import ROOT

SERVING = ROOT / "serving"
K8S = SERVING / "k8s"
SCHEMAS = Path(__file__).parent / "schemas"
OVERLAYS = ("base", "gpu", "kserve")
OBJECTS = [path for path in sorted(K8S.rglob("*.yaml")) if path.name != "kustomization.yaml"]
KUSTOMIZATIONS = [*sorted(K8S.rglob("kustomization.yaml")), SERVING / "config/kustomization.yaml"]
COMPOSE = yaml.safe_load((SERVING / "compose.yaml").read_text())
BIND = "${CELFLOW_BIND:-127.0.0.1}:"


def schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def check(thing: Any, rules: dict[str, Any]) -> None:
    problems = [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(rules).iter_errors(thing)
    ]
    assert not problems, "\n".join(problems)


def check_object(thing: Any) -> None:
    """Against the definition of its kind."""
    definitions = schema("kubernetes")["$defs"]
    assert thing["kind"] in definitions
    check(thing, {"$ref": f"#/$defs/{thing['kind']}", "$defs": definitions})


def locked_version(package: str) -> str:
    lock = (ROOT / "requirements.lock").read_text()
    found = re.search(rf"^{package}==(\S+)", lock, re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.parametrize("name", ["kubernetes", "compose", "prometheus"])
def test_schemas_are_schemas_and_strict(name: str) -> None:
    rules = schema(name)
    Draft202012Validator.check_schema(rules)

    def objects(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if "properties" in node and node.get("type") == "object":
                yield node
            for value in node.values():
                yield from objects(value)
        elif isinstance(node, list):
            for value in node:
                yield from objects(value)

    found = list(objects(rules))
    assert found
    assert all(one["additionalProperties"] is False for one in found)


@pytest.mark.parametrize(
    "path", [*OBJECTS, *KUSTOMIZATIONS], ids=lambda p: str(p.relative_to(SERVING))
)
def test_kubernetes_files_are_valid(path: Path) -> None:
    for thing in yaml.safe_load_all(path.read_text()):
        check_object(thing)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["spec"].update(replica=2),
        lambda d: d["spec"]["template"]["spec"]["containers"][0].update(portz=[]),
        lambda d: d["spec"]["template"]["spec"]["containers"][0]["readinessProbe"].clear(),
        lambda d: d["spec"]["template"]["spec"]["volumes"].append({"name": "x"}),
        lambda d: d["spec"]["template"]["spec"]["containers"][0].update(args=[8500]),
    ],
)
def test_the_schemas_see_mistakes(change: Any) -> None:
    deployment = yaml.safe_load((K8S / "base/deployment.yaml").read_text())
    change(deployment)
    with pytest.raises(AssertionError):
        check_object(deployment)


def test_kustomizations_name_files_that_are_there() -> None:
    for path in KUSTOMIZATIONS:
        content = yaml.safe_load(path.read_text())
        files = [file for map_ in content.get("configMapGenerator", ()) for file in map_["files"]]
        for name in (*content.get("resources", ()), *files):
            assert (path.parent / name).exists(), f"{path}: {name}"
        left_out = {
            file.name for file in path.parent.glob("*.yaml") if path.is_relative_to(K8S)
        } - {path.name, *content.get("resources", ())}
        assert not left_out


def apply(operations: list[dict[str, Any]], thing: Any) -> None:
    """A JSON patch of `add` and `replace`, as kustomize applies it."""
    for operation in operations:
        *way, last = (
            int(step) if step.isdigit() else step.replace("~1", "/")
            for step in operation["path"].split("/")[1:]
        )
        place = thing
        for step in way:
            place = place[step]
        if operation["op"] == "replace":
            assert last in place
        place[last] = operation["value"]


def test_the_gpu_overlay_asks_for_a_gpu() -> None:
    deployment = yaml.safe_load((K8S / "base/deployment.yaml").read_text())
    overlay = yaml.safe_load((K8S / "gpu/kustomization.yaml").read_text())
    (patch,) = overlay["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": deployment["metadata"]["name"]}
    apply(yaml.safe_load(patch["patch"]), deployment)
    check_object(deployment)
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert overlay["images"][0]["newTag"].endswith("-gpu")


@pytest.mark.skipif(
    not shutil.which("kubectl"), reason="needs kubectl, to render the kustomizations"
)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_renders_them(overlay: str) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(K8S / overlay)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    things = list(yaml.safe_load_all(done.stdout))
    for thing in things:
        check_object(thing)
    if overlay == "kserve":
        return
    by_kind = {thing["kind"]: thing for thing in things}
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    image = pod["containers"][0]["image"]
    assert image.endswith("-gpu") is (overlay == "gpu")
    maps = {v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v}
    assert maps == {"celflow-models", by_kind["ConfigMap"]["metadata"]["name"]}


def test_kubernetes_files_fit_together() -> None:
    by_kind = {
        thing["kind"]: thing
        for path in OBJECTS
        if path.parent.name == "base"
        for thing in yaml.safe_load_all(path.read_text())
    }
    template = by_kind["Deployment"]["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert by_kind["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert by_kind["Service"]["spec"]["selector"] == labels
    container = template["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for port in by_kind["Service"]["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    assert f"--port={ports['grpc']}" in container["args"]
    assert f"--rest_api_port={ports['http']}" in container["args"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in template["spec"]["volumes"]
    }
    assert (
        by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        == (by_kind["Deployment"]["metadata"]["name"])
    )
    claims = [v["persistentVolumeClaim"] for v in template["spec"]["volumes"] if len(v) == 2
              and "persistentVolumeClaim" in v]  # fmt: skip
    assert claims[0]["claimName"] == by_kind["PersistentVolumeClaim"]["metadata"]["name"]


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
                inside_of_house = ("../data",)
                source = volume.split(":")[0]
                assert source in inside_of_house or (SERVING / source).exists(), volume
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


def test_every_image_tag_is_the_installed_version() -> None:
    version = locked_version("tensorflow-serving-api")
    default = re.findall(r"\$\{TF_SERVING_TAG:-([^}]+)\}", (SERVING / "compose.yaml").read_text())
    tags = [
        image["newTag"].removesuffix("-gpu")
        for overlay in ("base", "gpu")
        for image in yaml.safe_load((K8S / overlay / "kustomization.yaml").read_text())["images"]
    ]
    kserve = yaml.safe_load((K8S / "kserve/xception.yaml").read_text())
    tags.append(kserve["spec"]["predictor"]["model"]["runtimeVersion"])
    assert {*default, *tags} == {version}


def test_all_start_the_server_with_the_same_flags() -> None:
    container = yaml.safe_load((K8S / "base/deployment.yaml").read_text())
    words = container["spec"]["template"]["spec"]["containers"][0]["args"]
    in_compose = COMPOSE["services"]["tensorflow-serving"]["command"]
    started = backends.launch(backends.Backend.embedded, "127.0.0.1", 8500, 8501, Path("c")).command

    def names(flags: list[str]) -> set[str]:
        return {flag.split("=")[0] for flag in flags if flag.startswith("--")}

    assert names(words) == names(in_compose)
    assert names(started) - {"--host"} == names(words)


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


CONFIGS = {
    "monitoring": config_protos.MonitoringConfig,
    "batching": config_protos.BatchingParameters,
}


def parse(name: str) -> Any:
    text = (SERVING / f"config/{name}.config").read_text()
    return text_format.Parse(text, CONFIGS[name]())


@pytest.mark.parametrize("name", CONFIGS)
def test_config_files_survive_a_round_trip_through_their_protos(name: str) -> None:
    content = parse(name)
    assert content.ByteSize()
    assert text_format.Parse(text_format.MessageToString(content), CONFIGS[name]()) == content


def test_batching_is_sound() -> None:
    batching = parse("batching")
    assert not batching.allowed_batch_sizes, "a batch that is filled up costs as much as a full one"
    assert batching.max_batch_size.value >= 2 and batching.num_batch_threads.value >= 1


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder served/ that a deployment without a running server wrote."""
    from celflow import registry
    from promotion import deploy

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELFLOW_MODELS_ROOT", raising=False)
    monkeypatch.setenv(backends.TAG_VARIABLE, "9.8.7")
    monkeypatch.setattr(registry, "get", lambda model, number: None)
    monkeypatch.setattr(deploy, "materialize", lambda version: None)
    nobody: Any = SimpleNamespace(healthy=lambda: False)
    deploy.deploy(nobody, {"xception": {"champion": 3, "challenger": 4}, "edges": {"champion": 1}})
    return tmp_path / "served"


def test_deploy_writes_what_compose_needs(deployed: Path) -> None:
    lines = (deployed / "compose.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert variables == {"TF_SERVING_TAG": "9.8.7", "CELFLOW_SERVED": str(deployed)}
    assert f"{{{next(iter(variables))}:-" in (SERVING / "compose.yaml").read_text()
    config = text_format.Parse(
        (deployed / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    assert {m.base_path for m in config.model_config_list.config} == {
        f"{deployed}/edges", f"{deployed}/xception",
    }  # fmt: skip


def test_deploy_copies_the_settings_once(deployed: Path) -> None:
    from promotion import deploy

    for name in CONFIGS:
        copy = deployed / f"{name}.config"
        assert copy.read_text() == (SERVING / f"config/{name}.config").read_text()
        copy.write_text("# mine")
    deploy._write(model_server_config_pb2.ModelServerConfig())
    assert {(deployed / f"{name}.config").read_text() for name in CONFIGS} == {"# mine"}


def test_deploy_writes_the_config_map(deployed: Path) -> None:
    thing = yaml.safe_load((deployed / "kubernetes.yaml").read_text())
    check_object(thing)
    deployment = yaml.safe_load((K8S / "base/deployment.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    used = {v["configMap"]["name"]: v["name"] for v in pod["volumes"] if "configMap" in v}
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    folder = mounts[used[thing["metadata"]["name"]]]
    (name,) = thing["data"]
    assert f"--model_config_file={folder}/{name}" in pod["containers"][0]["args"]

    config = text_format.Parse(thing["data"][name], model_server_config_pb2.ModelServerConfig())
    edges, xception = config.model_config_list.config
    assert (edges.base_path, xception.base_path) == ("/models/edges", "/models/xception")
    assert mounts["models"] == "/models"
    assert dict(xception.version_labels) == {"stable": 3, "canary": 4}
    assert xception.model_version_policy.specific.versions == [3, 4]


def test_models_may_be_in_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    from promotion import deploy

    monkeypatch.setenv("CELFLOW_MODELS_ROOT", "gs://drawings/models/")
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name="edges", base_path="/here/served/edges")
    assert 'base_path: "gs://drawings/models/edges"' in deploy.config_map(config)
    assert config.model_config_list.config[0].base_path == "/here/served/edges"


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
    house = tmp_path / "celflow"
    (house / "serving").mkdir(parents=True)
    for copied in ("params.yaml", "celflow", "dashboard"):
        (house / copied).symlink_to(ROOT / copied)
    for file in (*SERVING.glob("*.py"), SERVING / "client"):
        (house / "serving" / file.name).symlink_to(file)
    code = (
        "import sys, animeface, cv2\n"
        "from dashboard import compare, server, try_it\n"
        "from serving.client import Client\n"
        "Client().close()\n"
        "assert 'tensorflow' not in sys.modules"
    )
    # -S: no site-packages but those laid out above.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=house, capture_output=True, text=True, timeout=120,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, (house, messages, packages))),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
