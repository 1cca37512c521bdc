"""Versions signed with a key of the user's own, by the OpenSSF's model signing.

The signature is a tag of the version, so that it travels with the registry. Keys are PEM files of
an elliptic curve (P-256, P-384, P-521), as `openssl ecparam -genkey -name prime256v1` makes them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from celflow import registry
from celflow.errors import UserError, of_the_disk

SIGNATURE = "signature"


def sign(version: registry.RegisteredVersion, private_key: Path) -> None:
    """Sign the files of a version as they lie in the registry.

    Raises:
        UserError: the key can't be used, the files are damaged, or `celflow[signing]` is missing.
    """
    from stages.models.common.saved_model import digest

    with _one_line_errors(private_key), registry.saved_model(version) as folder:
        from model_signing.signing import Config

        if digest(folder) != version.tags[registry.CONTENT]:
            name = f"{version.model} version {version.version}"
            raise UserError(f"the files of {name} in the registry are damaged")
        with TemporaryDirectory() as temporary:
            file = Path(temporary) / "model.sig"
            Config().use_elliptic_key_signer(private_key=private_key).sign(folder, file)
            signature = file.read_text(encoding="utf-8")
    registry.set_tag(version, SIGNATURE, signature)


def check(version: registry.RegisteredVersion, folder: Path, public_key: Path) -> None:
    """Raise UserError unless the owner of a key signed just these files as this version.

    folder: of saved_model.pb.
    """
    name = f"{version.model} version {version.version}"
    signature = version.tags.get(SIGNATURE)
    if signature is None:
        raise UserError(
            f"{name} is not signed, and registry.public_key of params.yaml asks for it: "
            f"celflow sign {version.model} {version.version} --key FILE"
        )
    with _one_line_errors(public_key), TemporaryDirectory() as temporary:
        from model_signing.verifying import Config

        file = Path(temporary) / "model.sig"
        file.write_text(signature, encoding="utf-8")
        config = Config().use_elliptic_key_verifier(public_key=public_key)
        try:
            config.verify(folder, file)
        except ValueError as error:
            raise UserError(f"{name} is not what the owner of {public_key} signed") from error


@contextmanager
def _one_line_errors(key: Path) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UserError("signatures need more: pip install 'celflow[signing]'") from error
    except (OSError, ValueError, TypeError) as error:
        if of_the_disk(error):
            raise
        raise UserError(f"{key} can't be used as a key: {error}") from error
