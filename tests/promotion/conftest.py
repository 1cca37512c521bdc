"""The small project of the tests of stages, and one of tiny models."""

import shutil
from pathlib import Path

import pytest

from celflow import tracking

from ..stages.conftest import ROOT, project
from .tiny import TinyProject, save

__all__ = ["project"]


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    """SavedModels b0 to b4, each of another content."""
    folder = tmp_path_factory.mktemp("saved")
    for number in range(5):
        save(folder / f"b{number}", number / 10)
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A folder with an empty mlflow.db: its tables take seconds to make."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.connect().search_registered_models()
    return folder


@pytest.fixture
def tiny(tmp_path, monkeypatch, saved, store) -> TinyProject:
    """An empty project, which the test runs in."""
    return make_tiny(tmp_path, saved, store, monkeypatch)


def make_tiny(
    folder: Path, saved: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> TinyProject:
    shutil.copyfile(store / "mlflow.db", folder / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return bare(folder, saved, monkeypatch)


def bare(folder: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> TinyProject:
    """A project without a store of its own."""
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    shutil.copytree(ROOT / "celflow", folder / "celflow")  # goes into the registry as code
    monkeypatch.chdir(folder)
    return TinyProject(folder, saved)
