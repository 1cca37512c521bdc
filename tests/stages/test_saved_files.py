"""Files of models are the same, byte for byte, whenever and in whatever process they are made."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from stages.models.common import keras_files
from stages.models.common.saved_model import write_saved_model  # noqa: F401 (for SERVED)
from stages.models.common.served_classifier import ServedClassifier  # noqa: F401 (for SERVED)

from .conftest import ROOT

KERAS = "keras_files.save(network(), Path(sys.argv[1]) / keras_files.MODEL_FILE)"
SERVED = """
model = network()
served = ServedClassifier(
    ["a", "b", "c", "d"],
    lambda image: image[:8, :8],
    lambda batch: model(batch, training=False),
    keras_files.variables(model),
)
write_saved_model(served, "tiny", "characters", ["a", "b"], Path(sys.argv[1]))
"""


def network() -> keras.Model:
    """Two convolutions that share an initializer, which Keras names by its address in memory."""
    keras.utils.set_random_seed(3)
    start = keras.initializers.HeNormal(seed=1)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, kernel_initializer=start, name="a")(inputs)
    x = keras.layers.Conv2D(4, 3, kernel_initializer=start, name="b")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="c")(x), name="network")


def written_twice(code: str, folder: Path) -> list[dict[str, str]]:
    """What two processes write into a folder each: name to digest."""
    start = "import sys; from tests.stages.test_saved_files import *\n"
    for seed in ("0", "1"):
        (folder / seed).mkdir()
        subprocess.run(
            [sys.executable, "-c", start + code, str(folder / seed)],
            cwd=ROOT, check=True, capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
        )  # fmt: skip
        time.sleep(2)  # zip files count in two seconds
    return [
        {
            str(path.relative_to(folder / seed)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (folder / seed).rglob("*")
            if path.is_file()
        }
        for seed in ("0", "1")
    ]


@pytest.mark.slow
def test_keras_files(tmp_path):
    one, two = written_twice(KERAS, tmp_path)
    assert one == two and list(one) == [keras_files.MODEL_FILE]
    x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    assert np.array_equal(keras_files.load(tmp_path / "0")(x), network()(x))


@pytest.mark.slow
def test_saved_models(tmp_path):
    one, two = written_twice(SERVED, tmp_path)
    assert one == two and "saved_model/fingerprint.pb" in one


def test_a_model_that_was_loaded_is_written_as_before(tmp_path):
    keras_files.save(network(), tmp_path / "a" / keras_files.MODEL_FILE)
    keras_files.save(keras_files.load(tmp_path / "a"), tmp_path / "b" / keras_files.MODEL_FILE)
    a, b = (tmp_path / name / keras_files.MODEL_FILE for name in "ab")
    assert a.read_bytes() == b.read_bytes()
