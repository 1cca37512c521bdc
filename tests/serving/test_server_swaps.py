"""Versions come, go and break under a running server, and no request notices."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from serving.client import BadInput, Client, LoadFailed, ModelNotFound, ServerError

from .model_server import Asking, Repository, Server, model_config, until


class Half:
    """A half-plus-b model of a name of its own, so that no test sees another's versions.

    Version v of kind `half_plus_b` answers 1 + b.
    """

    def __init__(self, client: Client, repository: Repository, name: str) -> None:
        self.client = client
        self.repository = repository
        self.name = name

    def config(self, **more: Any) -> Any:
        return model_config({"name": self.name, "base_path": self.repository.base_path, **more})

    def reload(self, **more: Any) -> None:
        self.client.reload_config(self.config(**more))

    def y(self, version: int | str | None = None) -> float:
        answer = self.client.run(self.name, {"x": np.float32([2])}, version)
        return float(answer.outputs["y"][0])

    def label_is(self, label: str, value: float) -> bool:
        try:
            return self.y(label) == value
        except ModelNotFound:
            return False

    def states(self) -> dict[int, str]:
        return {status.version: status.state for status in self.client.status(self.name)}

    def wait(self, version: int) -> None:
        self.client.wait_available(self.name, version, 20)


@pytest.fixture
def half(client: Client, repository: Repository, tmp_path: Path) -> Half:
    return Half(client, repository, tmp_path.name)


def test_new_version_replaces_the_old_one_without_a_lost_request(half: Half) -> None:
    half.repository.add(1, "half_plus_1")
    half.reload()
    with Asking(lambda: half.y()) as asking:
        half.repository.add(2, "half_plus_2")
        half.wait(2)
        until(lambda: half.states() == {2: "AVAILABLE", 1: "END"})
        until(lambda: asking.answers[-1] == 3)
    assert not asking.failures
    assert asking.answers == sorted(asking.answers), "2 (version 1), then 3 (version 2), never back"
    assert set(asking.answers) == {2, 3}
    with pytest.raises(ModelNotFound, match=rf"Specific\({half.name}, 1\)"):
        half.y(1)


def test_broken_version_never_replaces_a_good_one(half: Half, server: Server) -> None:
    half.repository.add(1, "half_plus_1")
    half.reload()
    broken = half.repository.add_broken(2)
    with pytest.raises(LoadFailed, match=f"{half.name} version 2 could not be loaded"):
        half.wait(2)
    assert half.y() == 2
    status = {s.version: s for s in half.client.status(half.name)}
    assert status[1].state == "AVAILABLE"
    assert status[2].state == "END"
    assert status[2].error
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/{half.name}"
    with urllib.request.urlopen(url) as response:
        newest = json.load(response)["model_version_status"][0]
    assert newest["state"] == "END"
    assert newest["status"]["error_code"] != "OK"
    # Put right under the same number, it is tried again.
    (broken / "saved_model.pb").unlink()
    broken.rmdir()
    half.repository.add(2, "half_plus_2")
    until(lambda: half.states() == {2: "AVAILABLE", 1: "END"})
    assert half.y() == 3


def test_truncated_variables_fail_to_load(half: Half) -> None:
    half.repository.add(1, "half_plus_1")
    half.reload()
    incomplete = half.repository.saved_models.parent / "incomplete"
    folder = Repository(half.repository.saved_models, incomplete).add(2, "half_plus_2")
    data = next((folder / "variables").glob("*.data*"))
    data.write_bytes(b"")
    folder.rename(half.repository.base_path / "2")
    with pytest.raises(LoadFailed):
        half.wait(2)
    assert half.y() == 2


def test_folders_which_are_no_version_are_left_alone(half: Half) -> None:
    half.repository.add(1, "half_plus_1")
    (half.repository.base_path / "2").mkdir()  # half copied: no saved_model.pb yet
    (half.repository.base_path / "notes").mkdir()
    (half.repository.base_path / "-3").mkdir()
    half.reload()
    assert half.states() == {1: "AVAILABLE"}
    assert half.y() == 2


def test_policies(half: Half) -> None:
    for version in (1, 2, 3):
        half.repository.add(version, f"half_plus_{version}")
    half.reload(versions="all")
    assert half.states() == dict.fromkeys((1, 2, 3), "AVAILABLE")
    half.reload(versions=[1, 3])
    assert half.states() == {1: "AVAILABLE", 2: "END", 3: "AVAILABLE"}
    config = half.config()
    config.model_config_list.config[0].model_version_policy.latest.num_versions = 2
    half.client.reload_config(config)
    assert half.states() == {1: "END", 2: "AVAILABLE", 3: "AVAILABLE"}
    half.reload()
    assert half.states() == {1: "END", 2: "END", 3: "AVAILABLE"}
    half.client.reload_config(model_config())
    assert half.states() == dict.fromkeys((1, 2, 3), "END")
    with pytest.raises(ModelNotFound, match=rf"Latest\({half.name}\)"):
        half.y()


def test_label_on_an_unavailable_version_is_refused(half: Half) -> None:
    half.repository.add(1, "half_plus_1")
    half.reload(labels={"stable": 1})
    words = f"label stable to version 9 of model {half.name}, which is not currently available"
    with pytest.raises(BadInput, match=words) as refusal:
        half.reload(labels={"stable": 9})
    assert refusal.value.code == "FAILED_PRECONDITION"
    assert half.y("stable") == 2


def test_label_stays_when_its_new_version_breaks(half: Half) -> None:
    half.repository.add(1, "half_plus_1")
    half.reload(labels={"stable": 1})
    half.repository.add_broken(2)
    config = half.config(versions=[2], labels={"stable": 2})
    refused = pytest.raises(BadInput, match="label stable to version 2")
    with Asking(lambda: half.y("stable")) as asking, refused:
        half.client.reload_config(config)
    assert not asking.failures
    assert set(asking.answers) == {2}
    assert half.states() == {1: "AVAILABLE", 2: "END"}


def test_broken_version_without_a_label_is_reported(half: Half) -> None:
    half.repository.add_broken(1)
    words = rf"Some models did not become available: \{{{half.name} 1"
    with pytest.raises(ServerError, match=words):
        half.reload()


def test_bad_configs_by_rpc_change_nothing(half: Half) -> None:
    half.repository.add(1, "half_plus_1")
    half.reload()
    good = {"name": half.name, "base_path": half.repository.base_path}
    for bad, words in [
        ([good, good], "multiple times"),
        ([{**good, "base_path": "relative/path"}], "absolute path"),
        ([{**good, "name": ""}], "has no name"),
    ]:
        with pytest.raises(BadInput, match=words):
            half.client.reload_config(model_config(*bad))
    with pytest.raises(BadInput, match="Only ModelConfigList"):
        half.client.reload_config(type(model_config())())
    assert half.y() == 2


def test_config_file_swaps_champion_and_challenger(
    half: Half, config_path: Path, server: Server
) -> None:
    """The whole promotion: both labels, every request answered, then a broken file."""
    half.repository.add(1, "half_plus_1")
    write(config_path, half.config(versions=[1], labels={"stable": 1}))
    half.wait(1)
    until(lambda: half.label_is("stable", 2))
    with Asking(lambda: half.y("stable")) as asking:
        half.repository.add(2, "half_plus_2")
        labels = {"stable": 1, "canary": 2}
        write(config_path, half.config(versions=[1, 2], labels=labels))
        until(lambda: half.label_is("canary", 3))
        assert half.label_is("stable", 2)
        write(config_path, half.config(versions=[2], labels={"stable": 2}))
        until(lambda: half.label_is("stable", 3))
        until(lambda: half.states() == {1: "END", 2: "AVAILABLE"})
        with pytest.raises(ModelNotFound, match="Unrecognized servable version label: canary"):
            half.y("canary")
    assert not asking.failures
    assert asking.answers == sorted(asking.answers)

    write(config_path, "model_config_list { config {")
    until(lambda: "the old config stays in force" in server.log.read_text())
    assert half.y("stable") == 3
    assert server.log.read_text().count("the old config stays in force") == 1

    # A label waits in the file for a version that is still to come.
    write(config_path, half.config(versions=[2, 3], labels={"stable": 3}))
    until(lambda: "assign label stable to version 3" in server.log.read_text())
    assert half.y("stable") == 3
    half.repository.add(3, "half_plus_3")
    until(lambda: half.label_is("stable", 4))


def write(path: Path, config: Any) -> None:
    """Write beside, then rename, as every deployment should."""
    beside = path.with_suffix(".new")
    beside.write_text(config if isinstance(config, str) else text_format.MessageToString(config))
    beside.rename(path)


def test_warmup_runs_before_a_version_is_available(half: Half, server: Server) -> None:
    from .tiny_models import add_warmup

    add_warmup(half.repository.add(7, "half_plus_1"), [1.0, 2.0])
    half.reload()
    log = server.log.read_text()
    version = f"{{name: {half.name} version: 7}}"
    warm = log.index(f"Warmed up {version}: 1 requests")
    assert log.index(f"Successfully loaded servable version {version}") > warm


def test_version_whose_warmup_fails_is_not_served(half: Half) -> None:
    from .tiny_models import add_warmup

    half.repository.add(1, "half_plus_1")
    add_warmup(half.repository.add(2, "half_plus_2"), [1.0], input_name="z")
    with pytest.raises(ServerError, match="warm-up request 0"):
        half.reload()
