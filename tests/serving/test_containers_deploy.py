"""What a deployment writes for containers."""

from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format

from serving import backends
from serving.protos import model_server_config_pb2

from .container_files import CONFIGS, K8S, SERVING, check_object


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder served/ that a deployment without a running server wrote."""
    from promotion import serving_config

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELFLOW_MODELS_ROOT", raising=False)
    monkeypatch.setenv(backends.TAG_VARIABLE, "9.8.7")
    aliases = {"xception": {"champion": 3, "challenger": 4}, "edges": {"champion": 1}}
    serving_config.write(serving_config.build(aliases, aliases))
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
    from promotion import serving_config

    for name in CONFIGS:
        copy = deployed / f"{name}.config"
        assert copy.read_text() == (SERVING / f"config/{name}.config").read_text()
        copy.write_text("# mine")
    serving_config.write(model_server_config_pb2.ModelServerConfig())
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
    from promotion import serving_config

    monkeypatch.setenv("CELFLOW_MODELS_ROOT", "gs://drawings/models/")
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name="edges", base_path="/here/served/edges")
    assert 'base_path: "gs://drawings/models/edges"' in serving_config.config_map(config)
    assert config.model_config_list.config[0].base_path == "/here/served/edges"
