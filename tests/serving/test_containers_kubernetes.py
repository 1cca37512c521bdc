"""The Kubernetes files: valid, consistent, of the installed version."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from serving import backends

from .container_files import COMPOSE, K8S, SERVING, check_object, schema
from .model_server import ROOT

OVERLAYS = ("base", "gpu", "kserve")

OBJECTS = [path for path in sorted(K8S.rglob("*.yaml")) if path.name != "kustomization.yaml"]

KUSTOMIZATIONS = [*sorted(K8S.rglob("kustomization.yaml")), SERVING / "config/kustomization.yaml"]


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
