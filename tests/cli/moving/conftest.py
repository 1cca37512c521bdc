"""What tests of moving pictures share."""

from pathlib import Path

import pytest

from cli.moving import video
from tests.cli.moving.parts import ROOT, Inverter, write_clip


@pytest.fixture(autouse=True)
def server(monkeypatch):
    monkeypatch.setattr("serving.client.Client", Inverter)
    monkeypatch.setattr(Inverter, "asked", 0)
    monkeypatch.setattr(Inverter, "fails_after", 10**9)
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(video, "PIECE_SECONDS", 0.5)  # of 4 frames
