"""The folder that model servers read versions from: served/<model>/<version>/."""

from pathlib import Path
from shutil import copytree, rmtree

from celflow import registry
from celflow.files import atomic_dir
from serving.protos import model_server_config_pb2

SERVED = Path("served")


def materialize(version: registry.RegisteredVersion) -> Path:
    """Copy a version from the registry to where servers read it, whole or not at all.

    Returns its folder. A version that is there already is not copied again.
    """
    folder = SERVED / version.model / str(version.version)
    content, label = version.tags.get("content", ""), folder / "celflow_content"
    # The number alone is not enough: a new registry counts from 1 again.
    if not label.is_file() or label.read_text() != content:
        with registry.saved_model(version) as source, atomic_dir(folder) as beside:
            copytree(source, beside, dirs_exist_ok=True)
            (beside / label.name).write_text(content)
    return folder


def remove_unserved(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Remove versions that the config does not name; only while no server reads them."""
    for entry in config.model_config_list.config:
        named = {str(number) for number in entry.model_version_policy.specific.versions}
        for folder in (SERVED / entry.name).iterdir():
            if folder.name not in named:
                rmtree(folder)
