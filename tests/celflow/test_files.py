import json

import pytest

from celflow.files import atomic_dir, write_json


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("old")
    with atomic_dir(target) as beside:
        (beside / "new").write_text("new")
        assert (target / "old").is_file()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_an_error_leaves_the_old_folder(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_dir(target) as beside:
        (beside / "half").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (target / "old").read_text() == "old"


def test_json_is_written_beside_first(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"name": "möwe"})
    assert json.loads(path.read_text()) == {"name": "möwe"}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]
