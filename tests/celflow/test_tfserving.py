"""The deployment target of MLflow, from an installed wheel, in an empty folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from celflow.tfserving import DeploymentClient

from ..serving.model_server import ROOT, free_port

pytestmark = pytest.mark.slow

LOG = """
import keras, mlflow, mlflow.keras, mlflow.tensorflow, numpy as np
x = np.arange(8, dtype="float32").reshape(4, 2)
for number in (2.0, 3.0):
    model = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(
        1, kernel_initializer=keras.initializers.Constant(number), use_bias=False)])
    signature = mlflow.models.infer_signature(x, model.predict(x, verbose=0))
    for flavor in (mlflow.tensorflow, mlflow.keras):
        name = flavor.__name__.split(".")[1]
        flavor.log_model(model, name="model", signature=signature, registered_model_name=name,
                         pip_requirements=["tensorflow"])
"""


class Place:
    """An empty folder, and an installed celflow."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self.port, self.rest_port = free_port(), free_port()
        own = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTHON"))}
        self.environment = {
            **own,
            "PYTHONPATH": str(site),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def run(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def mlflow(self, verb: str, *words: str, code: int = 0) -> str:
        return self.run("mlflow", "deployments", verb, "-t", "tfserving", *words, code=code)

    def create(self, name: str, uri: str, *words: str, code: int = 0) -> str:
        ports = ["-C", f"port={self.port}", "-C", f"rest_port={self.rest_port}"]
        return self.mlflow("create", "--name", name, "-m", uri, *ports, *words, code=code)

    def answers(self, name: str) -> list[list[float]]:
        rows = self.folder / "rows.json"
        rows.write_text("[[1, 2], [3, 4]]")
        said = self.mlflow("predict", "--name", name, "-I", str(rows))
        found: list[list[float]] = json.loads(said.splitlines()[-1])["predictions"]
        return found


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, unpacked where nothing else lies."""
    folder = tmp_path_factory.mktemp("wheel")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "-q", "install", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--no-index", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "site"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, site: Path):
    place = Place(tmp_path_factory.mktemp("empty"), site)
    place.run(sys.executable, "-c", LOG)
    yield place
    server = place.folder / "tfserving/server.json"
    if server.is_file():
        os.kill(json.loads(server.read_text())["pid"], 9)


def test_the_wheel_has_one_name(site):
    names = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert names - {"bin"} == {"celflow"}


def test_the_python_api_is_in_the_wheel(place):
    said = place.run(sys.executable, "-c", "from celflow import mlops; mlops.models()", code=1)
    assert said.splitlines()[-1].endswith("no params.yaml here: run from the project's folder")


FLOW = """
from mlflow.deployments import get_deploy_client
client = get_deploy_client("tfserving")
rows = [[1, 2], [3, 4]]
def answers(name):
    return client.predict(name, rows)["predictions"]
client.create_deployment("b", "models:/keras/1")
assert answers("b") == [[6.0], [14.0]]
client.update_deployment("a", "models:/tensorflow/2")
assert answers("a") == [[9.0], [21.0]] and answers("b") == [[6.0], [14.0]]
assert [one["name"] for one in client.list_deployments()] == ["a", "b"]
shown = client.get_deployment("a")
assert (shown["state"], shown["model_uri"]) == ("AVAILABLE", "models:/tensorflow/2")
client.delete_deployment("b")
assert answers("a") == [[9.0], [21.0]]
"""


def test_models_of_mlflow_are_served_swapped_and_deleted(place):
    place.create("a", "models:/tensorflow/1")
    assert place.answers("a") == [[6.0], [14.0]]
    place.run(sys.executable, "-c", FLOW)
    place.mlflow("delete", "--name", "a")
    assert [path.name for path in (place.folder / "tfserving").iterdir() if path.is_dir()] == []
    assert not (place.folder / "tfserving/server.json").exists()


def test_a_model_that_reads_files_is_refused_unless_trusted(tmp_path, monkeypatch):
    import tensorflow as tf

    class Reads(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def __call__(self, path):
            return tf.io.read_file(path)

    module = Reads()
    tf.saved_model.save(module, str(tmp_path / "reads"), signatures=module.__call__)
    client = DeploymentClient(f"tfserving:{tmp_path / 'place'}")
    with pytest.raises(MlflowException, match=r"op ReadFile.*trust=true"):
        client.create_deployment("reads", str(tmp_path / "reads"), config={"server": "none"})
    assert not (tmp_path / "place/reads").exists()
    trusted = {"server": "none", "trust": "true", "rest_port": str(free_port())}
    client.create_deployment("reads", str(tmp_path / "reads"), config=trusted)
    assert (tmp_path / "place/reads/1/saved_model.pb").is_file()
    assert "place/reads" in (tmp_path / "place/models.config").read_text()
    client.delete_deployment("reads", trusted)
    assert not (tmp_path / "place/reads").exists()


@pytest.mark.parametrize(
    ("name", "uri", "more", "said"),
    [
        ("../up", "rows", {}, "can't be named"),
        ("c", "rows", {}, "no SavedModel and no Keras model"),
        ("c", "rows", {"flavor": "sklearn"}, "flavor sklearn"),
        ("c", "rows", {"config": {"port": "many"}}, "are numbers"),
        ("c", "broken", {}, "no SavedModel that can be read"),
    ],
)
def test_what_can_go_wrong_is_one_line(tmp_path, name, uri, more, said):
    for folder, file in (("rows", "a.txt"), ("broken", "saved_model.pb")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_bytes(b"\xff\xff")
    client = DeploymentClient(f"tfserving:{tmp_path / 'place'}")
    with pytest.raises(MlflowException, match=said) as error:
        client.create_deployment(name, str(tmp_path / uri), **more)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "place").glob("*/"))


def test_nobody_known(tmp_path):
    client = DeploymentClient(f"tfserving:{tmp_path}")
    client.delete_deployment("nobody")
    assert client.list_deployments() == []
    for ask in (client.get_deployment, client.predict, client.update_deployment):
        with pytest.raises(MlflowException, match=r"no deployment nobody.*there are none"):
            ask("nobody")
