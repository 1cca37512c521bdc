"""The manager by itself, with servables that are strings: order of events, policies, labels."""

import logging
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format

from celflow.errors import UserError
from serving.protos import model_pb2
from serving.server.repository import model_config as model_config_file
from serving.server.repository.manager import Manager
from serving.server.repository.served_model import State
from serving.server.status import StatusError

from .model_server import model_config


def spec(name: str = "m", version: int | None = None, label: str = "") -> Any:
    message = model_pb2.ModelSpec(name=name)
    if label:
        message.version_label = label
    if version is not None:
        message.version.value = version
    return message


def add(base_path: Path, version: int | str) -> None:
    (base_path / str(version)).mkdir(parents=True)
    (base_path / str(version) / "saved_model.pb").write_text("good")


class Loader:
    """Loads a folder to "name version" unless its saved_model.pb says "bad"."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.before: Any = lambda version: None

    def __call__(self, name: str, version: int, folder: Path) -> str:
        self.calls.append(version)
        self.before(version)
        if (folder / "saved_model.pb").read_text() == "bad":
            raise StatusError(grpc.StatusCode.DATA_LOSS, "it is\nbad")
        return f"{name} {version}"


@pytest.fixture
def base_path(tmp_path: Path) -> Path:
    add(tmp_path / "m", 1)
    return tmp_path / "m"


def entry(base_path: Path, **more: Any) -> Any:
    return model_config({"name": "m", "base_path": base_path, **more})


def states(manager: Manager) -> dict[int, State]:
    return {status.version: status.state for status in manager.status(spec())}


def test_old_version_answers_while_the_new_one_loads(base_path: Path) -> None:
    loader = Loader()
    manager = Manager(loader)
    manager.apply(entry(base_path, labels={"stable": 1}))
    seen = []

    def during(version: int) -> None:
        assert states(manager)[version] == State.LOADING
        seen.append((manager.find(spec()), manager.find(spec(label="stable"))))

    loader.before = during
    add(base_path, 2)
    manager.apply(entry(base_path, labels={"stable": 2}))
    assert seen == [("m 1", "m 1")]
    assert manager.find(spec(label="stable")) == "m 2"
    assert states(manager) == {1: State.END, 2: State.AVAILABLE}


def test_failed_version_is_tried_again_only_when_its_files_change(base_path: Path) -> None:
    loader = Loader()
    manager = Manager(loader)
    manager.apply(entry(base_path))
    add(base_path, 2)
    file = base_path / "2" / "saved_model.pb"
    file.write_text("bad")
    for _ in range(3):
        manager.poll()
    assert loader.calls == [1, 2]
    failed = manager.status(spec())[0]
    assert (failed.version, failed.state, failed.message) == (2, State.END, "it is bad")
    assert failed.code == grpc.StatusCode.DATA_LOSS
    file.write_text("good now")
    manager.poll()
    assert manager.find(spec()) == "m 2"
    assert states(manager) == {1: State.END, 2: State.AVAILABLE}


def test_failed_version_is_retried_as_often_as_the_flags_say(base_path: Path) -> None:
    loader = Loader()
    manager = Manager(loader, retries=2, retry_seconds=0.05)
    (base_path / "1" / "saved_model.pb").write_text("bad")
    with pytest.raises(StatusError):
        manager.apply(entry(base_path))
    manager.poll()
    assert loader.calls == [1], "not before its time"
    for _ in range(4):
        time.sleep(0.06)
        manager.poll()
    assert loader.calls == [1, 1, 1]


def test_nothing_is_missing_before_the_first_loads_are_done(base_path: Path) -> None:
    loader = Loader()
    manager = Manager(loader)
    seen = []

    def during(version: int) -> None:
        with pytest.raises(StatusError, match="still loading") as refusal:
            manager.find(spec())
        seen.append(refusal.value.code)

    loader.before = during
    manager.apply(entry(base_path))
    assert seen == [grpc.StatusCode.UNAVAILABLE]
    with pytest.raises(StatusError, match="Latest"):
        manager.find(spec("other"))


def test_reload_tries_a_failed_version_again(base_path: Path) -> None:
    loader = Loader()
    manager = Manager(loader)
    (base_path / "1" / "saved_model.pb").write_text("bad")
    for _ in range(2):
        with pytest.raises(StatusError, match="m 1: it is bad"):
            manager.apply(entry(base_path))
    assert loader.calls == [1, 1]


def test_broken_challenger_does_not_hold_the_champion_back(base_path: Path) -> None:
    manager = Manager(Loader())
    manager.apply(entry(base_path, versions=[1], labels={"stable": 1}))
    add(base_path, 2)
    add(base_path, 3)
    (base_path / "3" / "saved_model.pb").write_text("bad")
    with pytest.raises(StatusError, match="label canary to version 3"):
        manager.apply(entry(base_path, versions=[2, 3], labels={"stable": 2, "canary": 3}))
    assert manager.find(spec(label="stable")) == "m 2"
    assert states(manager) == {1: State.AVAILABLE, 2: State.AVAILABLE, 3: State.END}


def test_labelled_version_is_kept_when_the_policy_moves_on(base_path: Path) -> None:
    manager = Manager(Loader())
    manager.apply(entry(base_path, labels={"stable": 1}))
    add(base_path, 2)
    manager.poll()
    assert manager.find(spec()) == "m 2"
    assert manager.find(spec(label="stable")) == "m 1"


def test_refused_label_of_a_request_is_not_moved_later(base_path: Path) -> None:
    manager = Manager(Loader())
    manager.apply(entry(base_path, labels={"stable": 1}))
    bad = entry(base_path, versions="all", labels={"stable": 2, "canary": 2})
    with pytest.raises(StatusError) as refusal:
        manager.apply(bad, keep_trying=False)
    assert refusal.value.code == grpc.StatusCode.FAILED_PRECONDITION
    add(base_path, 2)
    manager.poll()
    assert manager.find(spec(label="stable")) == "m 1"
    with pytest.raises(StatusError, match="Unrecognized servable version label: canary"):
        manager.find(spec(label="canary"))


def test_labels_for_unavailable_versions_where_allowed(base_path: Path) -> None:
    manager = Manager(Loader(), allow_labels_for_unavailable=True)
    manager.apply(entry(base_path, labels={"stable": 1, "next": 5}))
    with pytest.raises(StatusError, match=r"Specific\(m, 5\)"):
        manager.find(spec(label="next"))
    manager.poll()  # the label in force stays without a complaint
    with pytest.raises(StatusError, match="label stable to version 6"):
        manager.apply(entry(base_path, labels={"stable": 6}))
    assert manager.find(spec(label="stable")) == "m 1", "only a new label may do that"


def test_folder_that_is_gone_for_a_moment_takes_nothing_away(base_path: Path) -> None:
    manager = Manager(Loader())
    manager.apply(entry(base_path))
    base_path.rename(base_path.with_name("away"))
    manager.poll()
    assert manager.find(spec()) == "m 1"


def test_version_whose_folder_is_filled_anew_stays(base_path: Path) -> None:
    loader = Loader()
    manager = Manager(loader)
    manager.apply(entry(base_path))
    (base_path / "1" / "saved_model.pb").unlink()
    manager.poll()
    assert manager.find(spec()) == "m 1"
    assert loader.calls == [1]


def test_reload_without_a_single_version_says_so(base_path: Path) -> None:
    manager = Manager(Loader())
    with pytest.raises(StatusError, match="Could not find base path") as refusal:
        manager.apply(entry(base_path / "typo"))
    assert refusal.value.code == grpc.StatusCode.UNKNOWN


def test_version_whose_folder_is_removed_is_unloaded(base_path: Path) -> None:
    manager = Manager(Loader())
    add(base_path, 2)
    manager.apply(entry(base_path, versions="all"))
    (base_path / "2").rename(base_path / "old")
    manager.poll()
    assert manager.find(spec()) == "m 1"
    assert states(manager) == {1: State.AVAILABLE, 2: State.END}


def test_versions_compare_as_numbers(base_path: Path) -> None:
    manager = Manager(Loader())
    for version in ("9", "10", "0008"):
        add(base_path, version)
    manager.apply(entry(base_path, versions="all"))
    assert manager.find(spec()) == "m 10"
    assert [status.version for status in manager.status(spec())] == [10, 9, 8, 1]


def test_no_versions_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = Manager(Loader())
    with caplog.at_level(logging.WARNING):
        with pytest.raises(StatusError):
            manager.apply(entry(tmp_path / "nowhere"))
        manager.poll()
    assert caplog.text.count("Could not find base path") == 1
    with pytest.raises(StatusError, match="Could not find any versions of model m"):
        manager.status(spec())


def test_models_that_the_config_drops_are_unloaded(base_path: Path) -> None:
    manager = Manager(Loader())
    manager.apply(entry(base_path, labels={"stable": 1}))
    manager.apply(model_config())
    assert manager.available() == []
    assert states(manager) == {1: State.END}


def test_bug_in_a_loader_is_a_failed_version(base_path: Path) -> None:
    def load(name: str, version: int, folder: Path) -> str:
        raise RuntimeError("two\nlines")

    manager = Manager(load)
    with pytest.raises(StatusError, match="RuntimeError: two lines"):
        manager.apply(entry(base_path))


def test_policy_text(base_path: Path) -> None:
    """The text form that TensorFlow Serving's documentation shows."""
    add(base_path, 2)
    config = entry(base_path)
    text_format.Parse(
        "model_config_list { config { model_version_policy { latest { num_versions: 2 } } } }",
        extra := type(config)(),
    )
    config.model_config_list.config[0].MergeFrom(extra.model_config_list.config[0])
    manager = Manager(Loader())
    manager.apply(config)
    assert manager.available() == [("m", 1), ("m", 2)]


def test_a_version_that_is_not_there_unloads_nothing(base_path: Path) -> None:
    manager = Manager(Loader())
    manager.apply(entry(base_path))
    manager.apply(entry(base_path, versions=[999]))
    assert manager.available() == [("m", 1)]
    assert states(manager) == {1: State.AVAILABLE, 999: State.END}
    absent = manager.status(spec(version=999))[0]
    assert absent.code == grpc.StatusCode.NOT_FOUND
    assert "was not found in the file system" in absent.message
    add(base_path, 999)
    manager.poll()
    assert states(manager) == {1: State.END, 999: State.AVAILABLE}
    with pytest.raises(StatusError, match="n 7: it is not in"):
        manager.apply(model_config({"name": "n", "base_path": base_path, "versions": [7]}))


def test_another_base_path_loads_its_files(base_path: Path, tmp_path: Path) -> None:
    add(tmp_path / "other", 1)
    loader = Loader()
    manager = Manager(loader)
    manager.apply(entry(base_path))
    first = manager.find(spec())
    manager.apply(entry(tmp_path / "other"))
    assert loader.calls == [1, 1]
    assert manager.find(spec()) is not first
    manager.apply(entry(tmp_path / "other"))
    assert loader.calls == [1, 1]
    add(tmp_path / "bad", 1)
    (tmp_path / "bad" / "1" / "saved_model.pb").write_text("bad")
    with pytest.raises(StatusError, match="it is bad"):
        manager.apply(entry(tmp_path / "bad"))
    status = manager.status(spec())[0]
    assert (status.state, status.code) == (State.AVAILABLE, grpc.StatusCode.DATA_LOSS)


def test_a_bad_config_is_answered_with_the_words_of_the_real_server(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("improperly formatted file!\n")
    words = "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1"
    with pytest.raises(UserError, match=words):
        model_config_file.read(tmp_path / "c")
