"""Where models come from: a folder of all of them, an object store, several at a time."""

import threading
from pathlib import Path

import fsspec
import pytest

from serving.server.repository import model_config as configs
from serving.server.repository.manager import Manager

from .test_server_manager import add, spec


def test_models_below_a_folder_come_and_go(tmp_path):
    folder = configs.ModelsFolder(tmp_path)
    add(tmp_path / "a", 1)
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("")
    names = lambda config: [model.name for model in config.model_config_list.config]  # noqa: E731
    assert names(folder.read()) == ["a"]
    assert folder.changed() is None
    add(tmp_path / "b", 3)
    manager = Manager(lambda name, version, path: f"{name} {version}")
    manager.apply(folder.changed())
    assert manager.available() == [("a", 1), ("b", 3)]
    tmp_path.rename(tmp_path.with_name("gone"))
    assert folder.changed() is None
    tmp_path.with_name("gone").rename(tmp_path)
    (tmp_path / "a").rename(tmp_path.with_name("a"))
    manager.apply(folder.changed())
    assert manager.available() == [("b", 3)]


@pytest.mark.parametrize("threads", [2, 0])
def test_models_load_side_by_side_where_asked(tmp_path, threads):
    together = threading.Barrier(2, timeout=5 if threads else 0.3)
    met = []

    def load(name: str, version: int, folder: Path) -> str:
        try:
            together.wait()
            met.append(name)
        except threading.BrokenBarrierError:
            pass
        return name

    for name in "ab":
        add(tmp_path / name, 1)
    manager = Manager(load, load_threads=threads)
    manager.apply(configs.below(tmp_path))
    assert manager.available() == [("a", 1), ("b", 1)]
    assert sorted(met) == (["a", "b"] if threads else [])


@pytest.fixture
def store():
    """An object store, in memory."""
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def put(files, version: int, text: str = "good") -> None:
    files.pipe(f"/bucket/models/m/{version}/variables/variables.index", b"1")
    files.pipe(f"/bucket/models/m/{version}/saved_model.pb", text.encode())


def test_versions_in_an_object_store(store, monkeypatch, caplog):
    loaded = {}

    def load(name: str, version: int, folder: Path) -> str:
        loaded[version] = sorted(p.name for p in folder.rglob("*") if p.is_file())
        return f"{name} {(folder / 'saved_model.pb').read_text()}"

    manager = Manager(load)
    put(store, 1, "one")
    store.pipe("/bucket/models/m/2/variables/variables.index", b"1")  # not whole yet
    config = configs.single_model("m", "memory://bucket/models/m")
    configs.check(config)
    manager.apply(config)
    assert manager.find(spec()) == "m one"
    assert loaded == {1: ["saved_model.pb", "variables.index"]}
    put(store, 2, "two")
    manager.poll()
    assert manager.available() == [("m", 2)]
    # A store that does not answer changes nothing, and is said once.
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "ls", lambda *a, **k: 1 / 0)
        manager.poll()
        manager.poll()
    assert manager.available() == [("m", 2)]
    assert caplog.text.count("memory://bucket/models/m can't be read: ZeroDivisionError") == 1
    store.rm("/bucket/models/m/2", recursive=True)
    manager.poll()
    assert manager.available() == [("m", 1)]
    copies = manager._base_paths._copies
    assert copies.is_dir()
    manager.close()
    assert not copies.exists()


def test_a_file_url_is_a_folder(tmp_path):
    add(tmp_path / "a b/m", 1)
    manager = Manager(lambda name, version, path: str(path))
    manager.apply(configs.single_model("m", f"file://{tmp_path}/a%20b/m"))
    assert manager.find(spec()) == str(tmp_path / "a b/m/1")


def test_a_store_that_is_not_known(tmp_path, caplog):
    manager = Manager(lambda *_: "")
    with pytest.raises(Exception, match=r"Could not find base path|No versions"):
        manager.apply(configs.single_model("m", "nostore://bucket/m"))
    assert "nostore" in caplog.text
