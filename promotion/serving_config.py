"""What model servers are told to serve: champion as version label `stable`, challenger as `canary`.

Writes served/models.config, a TensorFlow Serving config that the embedded server and the real one
read alike, and beside it what containers need: compose.env for serving/compose.yaml, and
kubernetes.yaml, a ConfigMap for serving/k8s/. Copies of batching.config and monitoring.config from
serving/config/ are made once and never overwritten, so that they can be edited there.
"""

import os
from collections.abc import Mapping
from textwrap import indent

from google.protobuf import text_format

from celflow.files import write_bytes
from promotion.served_folder import SERVED
from serving import backends
from serving.labels import LABELS
from serving.protos import model_server_config_pb2

MODELS_CONFIG = SERVED / "models.config"
COMPOSE_ENV = SERVED / "compose.env"
CONFIG_MAP = SERVED / "kubernetes.yaml"

Aliases = dict[str, int]  # alias to version


def build(
    serve: Mapping[str, Aliases],
    label: Mapping[str, Aliases],
    also: Mapping[str, Aliases] | None = None,
    keep: model_server_config_pb2.ModelServerConfig | None = None,
) -> model_server_config_pb2.ModelServerConfig:
    """A TensorFlow Serving config.

    serve: versions by model; label: which of their aliases become version labels; also: versions
    that stay loaded beside them; keep: a config whose other models stay in it.
    """
    config = model_server_config_pb2.ModelServerConfig()
    kept = {entry.name: entry for entry in keep.model_config_list.config} if keep else {}
    for model in sorted({*serve, *kept}):
        place = str((SERVED / model).absolute())
        if model not in serve:
            config.model_config_list.config.append(kept[model])
            config.model_config_list.config[-1].base_path = place
            continue
        aliases = serve[model]
        entry = config.model_config_list.config.add(
            name=model, base_path=place, model_platform="tensorflow"
        )
        numbers = {*aliases.values(), *(also or {}).get(model, {}).values()}
        entry.model_version_policy.specific.versions.extend(sorted(numbers))
        for alias, number in label.get(model, {}).items():
            if alias in LABELS:
                entry.version_labels[LABELS[alias]] = number
    return config


def read() -> model_server_config_pb2.ModelServerConfig:
    """The config that was written last; empty where there is none."""
    config = model_server_config_pb2.ModelServerConfig()
    if MODELS_CONFIG.is_file():
        text_format.Parse(MODELS_CONFIG.read_text(encoding="utf-8"), config)
    return config


def labelled(config: model_server_config_pb2.ModelServerConfig) -> dict[str, Aliases]:
    """The aliases that a config serves under a version label, by model."""
    alias_of = {label: alias for alias, label in LABELS.items()}
    return {
        entry.name: {
            alias_of[label]: number
            for label, number in entry.version_labels.items()
            if label in alias_of
        }
        for entry in config.model_config_list.config
    }


def write(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Write a config for all servers; each file whole or not at all."""
    for template in backends.CONFIG_FILES:
        copy = SERVED / template.name
        if not copy.exists():
            write_bytes(copy, template.read_bytes())
    environment = (
        f"{backends.TAG_VARIABLE}={backends.image_tag()}\nCELFLOW_SERVED={SERVED.absolute()}\n"
    )
    for path, text in (
        (COMPOSE_ENV, environment),
        (CONFIG_MAP, config_map(config)),
        (MODELS_CONFIG, text_format.MessageToString(config)),
    ):
        write_bytes(path, f"# Written by `celflow deploy` from the registry.\n{text}".encode())


def config_map(config: model_server_config_pb2.ModelServerConfig) -> str:
    """A config as a Kubernetes ConfigMap: models lie below /models, or CELFLOW_MODELS_ROOT."""
    root = os.environ.get("CELFLOW_MODELS_ROOT", "").rstrip("/") or "/models"
    in_cluster = model_server_config_pb2.ModelServerConfig()
    in_cluster.CopyFrom(config)
    for entry in in_cluster.model_config_list.config:
        entry.base_path = f"{root}/{entry.name}"
    return (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: celflow-models\n"
        "data:\n  models.config: |\n" + indent(text_format.MessageToString(in_cluster), "    ")
    )
