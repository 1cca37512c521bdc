"""The folder that model servers read versions from: served/<model>/<version>/."""

from pathlib import Path
from shutil import copytree, rmtree

from celflow import params, registry
from celflow.errors import UserError
from celflow.files import atomic_dir
from promotion import signing
from serving.protos import model_server_config_pb2

SERVED = Path("served")


def materialize(version: registry.RegisteredVersion) -> Path:
    """Copy a version from the registry to where servers read it, whole or not at all.

    Returns its folder. A version that is there already, with the content that was registered, is
    not copied again; the number alone is not enough, since a new registry counts from 1 again.

    Raises:
        UserError: the registry's files are not those that were registered, or not those that were
            signed, where registry.public_key of params.yaml asks for a signature.
    """
    from stages.models.common.saved_model import digest

    folder = SERVED / version.model / str(version.version)
    content = version.tags[registry.CONTENT]
    public_key = params.load().registry.public_key
    if folder.is_dir() and digest(folder) == content:
        if public_key is not None:
            signing.check(version, folder, Path(public_key))
        return folder
    with registry.saved_model(version) as source:
        if digest(source) != content:
            raise UserError(
                f"the files of {version.model} version {version.version} in the registry are "
                "damaged (another digest than when it was registered): promote another version, "
                "or train it anew"
            )
        if public_key is not None:
            signing.check(version, source, Path(public_key))
        try:
            with atomic_dir(folder) as beside:
                copytree(source, beside, dirs_exist_ok=True)
        except OSError as error:  # copytree's own errors, a list, too
            raise UserError(f"{folder} can't be written: {_reason(error)}") from error
    return folder


def _reason(error: OSError) -> str:
    return (error.strerror or " ".join(str(error).split())[:200]).lower()


def remove_unserved(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Remove versions that the config does not name; only while no server reads them."""
    for entry in config.model_config_list.config:
        named = {str(number) for number in entry.model_version_policy.specific.versions}
        for folder in (SERVED / entry.name).iterdir():
            if folder.name not in named:
                rmtree(folder)
