"""A new model is a folder and its lines in params.yaml: no other file is edited."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from .conftest import Project, clone, free_ports, wait_for

pytestmark = pytest.mark.slow

CLASSIFIER = '''"""A classifier of one layer."""

import keras

from stages.models.common.config import NetworkConfig
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.model import Splits


class TinyConfig(NetworkConfig):
    """Settings of the one layer."""

    units: int


class Tiny(KerasClassifier[TinyConfig]):
    """Pixels to scores."""

    config_class = TinyConfig

    def build(self, splits: Splits) -> keras.Model:
        """One hidden layer."""
        side = self.config.image_size
        return keras.Sequential([
            keras.Input((side, side, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(self.config.units, activation="relu"),
            keras.layers.Dense(len(splits["train"].labels), activation="softmax"),
        ])


MODELS = {"tiny": Tiny}
'''

IMAGE_MODEL = '''"""A picture model that learns nothing: it inverts colours."""

from pathlib import Path

import numpy as np

from celflow.files import write_json
from celflow.images import encode_png, read_image
from celflow.params import Section
from stages.models.common.model import ImagePredictor, ImageToImage, Log, Report, Splits
from stages.models.common.served_image_model import ServedImageModel


class NegativeConfig(Section):
    """The value of white."""

    white: int


class Negative(ImageToImage[NegativeConfig]):
    """Inverts colours."""

    config_class = NegativeConfig

    def fit(self, splits: Splits, folder: Path, checkpoint_dir: Path, log: Log) -> None:
        """Nothing is learnt."""
        write_json(folder / "white.json", self.config.white)
        log(0, {"loss": 0.0})

    def predictor(self, folder: Path) -> ImagePredictor:
        """The negative of a picture."""
        return lambda pixels: np.uint8(self.config.white) - pixels

    def measure(self, predictor: ImagePredictor, splits: Splits) -> Report:
        """Mean level of the results."""
        pictures = [read_image(Path(path)).pixels for path in splits["test"].paths[:4]]
        results = [predictor(one) for one in pictures]
        mean = float(np.mean([one.mean() for one in results]))
        return Report({"cartoon_score": mean / 255}, lambda: {"sheet": encode_png(results[0])})

    def export(self, folder: Path, labels: list[str]) -> ServedImageModel:
        """The same in the graph."""
        import tensorflow as tf

        def draw(image):
            return tf.constant(self.config.white, tf.uint8) - image

        return ServedImageModel({"serving_default": ((), draw), "pixels": ((), draw)}, [])


MODELS = {"negative": Negative}
'''

AUGMENT = {"flip": True}
NETWORK = {
    "trainer": "model_fit", "image_size": 32, "epochs": 2, "patience": None, "batch_size": 8,
    "learning_rate": 1.0e-3, "weight_decay": 0.0, "label_smoothing": 0.0, "dropout": 0.0,
    "augment": AUGMENT,
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A project that has these two models only, trained and registered."""
    made = clone(tmp_path_factory.mktemp("new_model"))
    models = made.folder / "stages/models"
    for name, code in (("tiny", CLASSIFIER), ("negative", IMAGE_MODEL)):
        (models / name).mkdir()
        (models / name / "__init__.py").write_text(code)
    path = made.folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["data"]["characters"] = None
    params["models"] = {
        name: {"task": task, "dataset": "cartoon_or_photo", "code": f"stages/models/{name}"}
        for name, task in (("tiny", "cartoon_or_photo"), ("negative", "cartoonize"))
    }
    params["train"] |= {"tiny": {**NETWORK, "units": 4}, "negative": {"white": 255}}
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    made.run("make", "--old-file", ".venv/installed", "repro", "THREADS=1")
    return made


def test_no_other_file_was_edited(project):
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=project.folder, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    code = [line[3:] for line in changed.splitlines() if line.endswith((".py", ".yaml"))]
    assert sorted(code) == [
        "params.yaml", "stages/models/negative/__init__.py", "stages/models/tiny/__init__.py",
    ]  # fmt: skip


def test_two_clones_split_the_same_pictures_alike(project, trained):
    name = "data/split/cartoon_or_photo.csv"
    assert (project.folder / name).read_bytes() == (trained.folder / name).read_bytes()


def test_it_is_trained_measured_and_registered(project):
    assert "balanced_accuracy" in json.loads((project.folder / "metrics/tiny.json").read_text())
    assert (project.folder / "plots/test/negative/sheet.png").is_file()
    listed = project.run("celflow", "models").stdout
    assert "tiny" in listed and "negative" in listed


def test_it_is_served(project):
    grpc_port, rest_port = free_ports(2)
    project.run("celflow", "deploy", "--server", f"127.0.0.1:{grpc_port}")
    log = project.folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["celflow", "serve", "--grpc-port", str(grpc_port), "--rest-port", str(rest_port)],
            cwd=project.folder, env=project.environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_for(lambda: "models: " in log.read_text(), process)
        picture = next((project.folder / "data/clean/cartoon_or_photo/cartoon").glob("*.png"))
        server = ["--server", f"127.0.0.1:{grpc_port}"]
        done = project.run("celflow", "predict", "tiny", picture, "--json", *server)
        assert set(json.loads(done.stdout)[0]["scores"]) == {"cartoon", "photo"}
        project.run("celflow", "draw", "negative", picture, *server)
        assert list((Path(project.folder) / "drawn").glob("*.png"))
    finally:
        process.terminate()
        process.wait(30)
