"""Tiny SavedModels, and one model server for all tests: TensorFlow takes seconds to import."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from serving.client import Client

from .model_server import Repository, Server, model_config


@pytest.fixture(scope="session")
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config file that the shared server watches; it starts without a model."""
    path = tmp_path_factory.mktemp("config") / "models.config"
    path.write_text("model_config_list {}")
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, config_path: Path) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("server"),
        f"--model_config_file={config_path}",
        "--model_config_file_poll_wait_seconds=0.1",
        "--file_system_poll_wait_seconds=0.1",
    )
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="session")
def saved_models(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders half_plus_1, half_plus_2 ..., pictures and slow, to be copied; the server starts
    meanwhile."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from . import tiny_models

    folder = tmp_path_factory.mktemp("saved_models")
    tiny_models.save_all(folder)
    return folder


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of the shared server, which serves nothing yet."""
    with Client(server.address) as client:
        client.reload_config(model_config())
        yield client


@pytest.fixture
def repository(saved_models: Path, tmp_path: Path) -> Repository:
    return Repository(saved_models, tmp_path / "model")


@pytest.fixture(scope="session")
def png() -> bytes:
    """A bright picture."""
    file = BytesIO()
    Image.new("RGB", (8, 8), (204, 204, 204)).save(file, "PNG")
    return file.getvalue()
