"""Pictures of one's own through DVC: anywhere, and of one task only."""

import shutil

import pytest

from .conftest import clone

pytestmark = pytest.mark.slow


def test_one_task_trains_without_pictures_of_the_other(tmp_path, monkeypatch):
    project = clone(tmp_path / "project")
    project.run("dvc", "repro", "raw")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shutil.copytree(project.folder / "data/sample/cartoon_or_photo", tmp_path / "home/pictures")
    project.configure({"data": {"cartoon_or_photo": "~/pictures", "characters": "~/nowhere"}})

    done = project.run("dvc", "repro", "train@colours")
    assert "colours: epoch 0" in done.stdout
    line = f"no folder {tmp_path / 'home/nowhere'}: see data.characters in params.yaml"
    assert line in done.stderr and "Errno" not in done.stderr
    failed = project.run("dvc", "repro", "train@character_embedding", code=255)  # DVC's own code
    assert f"error: character_embedding can't be trained: {line}" in failed.stderr.splitlines()
    assert "Traceback" not in failed.stderr and "Errno" not in failed.stderr

    project.configure({"data": {"characters": None}})
    done = project.run("dvc", "repro", "register@character_embedding")
    assert (
        done.stdout.count("character_embedding: left out, data.characters in params.yaml is null")
        == 4
    )

    (tmp_path / "home/pictures/cartoon").joinpath("new.txt").write_text("a change is seen")
    done = project.run("dvc", "repro", "split")
    assert "Running stage 'clean'" in done.stdout
