"""The files that a deployment writes for model servers, and the folder of versions."""

import shutil
from pathlib import Path

import pytest

from celflow import registry
from celflow.errors import UserError
from promotion import served_folder, serving_config
from serving.protos import model_server_config_pb2
from stages.models.common.saved_model import digest

ROOT = Path(__file__).parents[2]
ALIASES = {"xception": {"champion": 3, "challenger": 4, "previous": 2}, "edges": {"champion": 1}}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_SERVING_TAG", "9.8.7")


def test_aliases_become_versions_and_labels():
    edges, xception = serving_config.build(ALIASES, ALIASES).model_config_list.config
    assert (edges.name, xception.name) == ("edges", "xception")
    assert xception.base_path == str(Path("served/xception").absolute())
    assert xception.model_version_policy.specific.versions == [2, 3, 4]
    assert dict(xception.version_labels) == {"stable": 3, "canary": 4}


def test_versions_that_are_labelled_now_stay_loaded():
    now = {"xception": {"champion": 1}}
    (entry,) = serving_config.build(
        {"xception": {"champion": 3}}, label=now, also=now
    ).model_config_list.config
    assert entry.model_version_policy.specific.versions == [1, 3]
    assert dict(entry.version_labels) == {"stable": 1}


def test_what_is_written_is_read_back():
    assert not serving_config.read().model_config_list.config
    config = serving_config.build(ALIASES, ALIASES)
    serving_config.write(config)
    assert serving_config.read() == config
    assert serving_config.labelled(serving_config.read()) == {
        "xception": {"champion": 3, "challenger": 4}, "edges": {"champion": 1},
    }  # fmt: skip


def test_settings_are_copied_once_and_are_then_the_users():
    serving_config.write(model_server_config_pb2.ModelServerConfig())
    copies = {path.name for path in Path("served").glob("*.config")}
    assert copies == {"models.config", "batching.config", "monitoring.config"}
    Path("served/batching.config").write_text("# mine")
    serving_config.write(model_server_config_pb2.ModelServerConfig())
    assert Path("served/batching.config").read_text() == "# mine"


def test_versions_that_are_not_named_are_removed():
    for number in (1, 2, 3, 4):
        Path(f"served/xception/{number}").mkdir(parents=True)
    config = serving_config.build({"xception": ALIASES["xception"]}, ALIASES)
    served_folder.remove_unserved(config)
    assert sorted(path.name for path in Path("served/xception").iterdir()) == ["2", "3", "4"]


def test_other_models_stay_as_they_are_and_follow_a_move():
    other = serving_config.build({"edges": {"champion": 7}}, {"edges": {"champion": 7}})
    other.model_config_list.config[0].base_path = "/elsewhere/served/edges"
    config = serving_config.build({"xception": {"champion": 3}}, {}, keep=other)
    edges, xception = config.model_config_list.config
    assert edges.base_path == str(Path("served/edges").absolute())
    assert dict(edges.version_labels) == {"stable": 7} and xception.name == "xception"


@pytest.fixture
def copied(tmp_path, monkeypatch) -> list[str]:
    """What `materialize` took from the registry; `tmp_path / "registry"` is what that holds."""
    from contextlib import contextmanager

    taken: list[str] = []
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    source = tmp_path / "registry"
    source.mkdir()

    @contextmanager
    def saved_model(version):
        taken.append(version.tags["content"])
        yield source

    monkeypatch.setattr(registry, "saved_model", saved_model)
    return taken


def stored(text: str) -> registry.RegisteredVersion:
    """A version whose SavedModel in the registry has this content."""
    Path("registry/saved_model.pb").write_text(text)
    content = digest(Path("registry"))
    return registry.RegisteredVersion("edges", 1, (), "", 0.0, {"content": content}, {})


def test_a_version_is_copied_once_for_each_content(copied):
    for text in ("a", "a", "b"):
        folder = served_folder.materialize(stored(text))
        assert (folder / "saved_model.pb").read_text() == text
    assert len(copied) == 2


def test_a_damaged_copy_is_copied_again(copied):
    version = stored("whole")
    folder = served_folder.materialize(version)
    (folder / "saved_model.pb").write_text("whol")
    served_folder.materialize(version)
    assert (folder / "saved_model.pb").read_text() == "whole" and len(copied) == 2


def test_what_is_damaged_in_the_registry_is_not_served(copied):
    version = stored("whole")
    Path("registry/saved_model.pb").write_text("whols")
    with pytest.raises(UserError, match="edges version 1 in the registry are damaged"):
        served_folder.materialize(version)
    assert not Path("served/edges/1").exists()
