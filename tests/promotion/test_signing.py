"""Versions signed with a key of the user's own, checked before they are served."""

import shutil
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from celflow import registry
from celflow.errors import UserError
from promotion import served_folder, signing


def make_key(name: str) -> Path:
    """A new pair of keys, NAME.pem and NAME.pub; returns the private one."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    Path(f"{name}.pem").write_bytes(private)
    Path(f"{name}.pub").write_bytes(public)
    return Path(f"{name}.pem")


def demand(public_key: str) -> None:
    text = Path("params.yaml").read_text()
    assert "public_key: null" in text
    Path("params.yaml").write_text(text.replace("public_key: null", f"public_key: {public_key}"))


def test_only_what_the_owner_of_the_key_signed_is_served(tiny):
    mine, other = make_key("mine"), make_key("other")
    version = tiny.register("colours", "b0")
    served_folder.materialize(version)  # nobody asks for a signature
    demand("mine.pub")
    for folder in ("served", "nothing yet"):
        with pytest.raises(UserError, match=r"not signed.*celflow sign colours 1 --key"):
            served_folder.materialize(version)
        if folder == "served":
            shutil.rmtree("served")
    code, printed = tiny.run("promote", "colours", 1, "--force", "--server", "127.0.0.1:1")
    assert code == 1 and "is not signed" in printed and "Traceback" not in printed

    code, printed = tiny.run("sign", "colours", 1, "--key", other)
    assert code == 0 and "colours version 1 is signed with other.pem" in printed
    with pytest.raises(UserError, match=r"not what the owner of mine.pub signed"):
        served_folder.materialize(registry.get("colours", 1))

    assert tiny.run("sign", "colours", 1, "--key", mine)[0] == 0
    folder = served_folder.materialize(registry.get("colours", 1))
    assert (folder / "saved_model.pb").is_file()


def test_a_digest_that_was_changed_along_with_the_files_does_not_help(tiny):
    """As somebody could who may write to MLflow."""
    key = make_key("mine")
    demand("mine.pub")
    version, wicked = tiny.register("colours", "b0"), tiny.register("colours", "b1")
    signing.sign(version, key)
    signature = registry.get("colours", 1).tags[signing.SIGNATURE]
    registry.set_tag(wicked, signing.SIGNATURE, signature)
    with pytest.raises(UserError, match=r"version 2 is not what the owner of mine.pub signed"):
        served_folder.materialize(registry.get("colours", 2))
    served_folder.materialize(registry.get("colours", 1))


@pytest.mark.parametrize("content", [None, b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAA"])
def test_a_key_that_is_none_is_said_in_a_line(tiny, content):
    version = tiny.register("colours", "b0")
    if content is not None:
        Path("key.pem").write_bytes(content)
    with pytest.raises(UserError, match=r"key.pem can't be used as a key") as error:
        signing.sign(version, Path("key.pem"))
    assert "\n" not in str(error.value)
    make_key("mine")
    signing.sign(version, Path("mine.pem"))
    with pytest.raises(UserError, match=r"key.pem can't be used as a key"):
        signing.check(registry.get("colours", 1), tiny.saved / "b0", Path("key.pem"))


def test_without_the_extra_it_says_what_to_install(tiny, monkeypatch):
    version, key = tiny.register("colours", "b0"), make_key("mine")
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(UserError, match=r"pip install 'celflow\[signing\]'"):
        signing.sign(version, key)
