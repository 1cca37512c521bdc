"""What TensorFlow and Keras say of themselves does not reach who runs a stage or a server."""

import os
import subprocess
import sys

import pytest

from stages import clean

from .conftest import ROOT

CUINIT = "failed call to cuInit"
BEFORE_ASKING = {
    "stages": "import stages.models.common",
    "pyfunc": "from celflow.pyfunc import SavedModelFunc\n"
    "try: SavedModelFunc('nowhere')\nexcept OSError: pass",
}


@pytest.mark.slow
@pytest.mark.parametrize("where", BEFORE_ASKING)
def test_a_machine_without_a_gpu_is_no_error(where):
    code = f"{BEFORE_ASKING[where]}\nimport tensorflow as tf\nprint(tf.constant(1) + 1)"
    own = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env={**own, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "tf.Tensor(2" in done.stdout
    assert CUINIT not in done.stderr


@pytest.mark.slow
def test_tensorflow_does_not_introduce_itself(project):
    own = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    code = (
        "from celflow.params import load; from stages.models.common import table\n"
        "table.create('xception', load()); import tensorflow, sys, os; os.write(2, b'an error')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env={**own, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stderr == "an error"


@pytest.mark.slow
def test_a_stage_that_asks_a_network_says_what_it_found_only(project):
    clean.run(project.configure({"facecrop": {"detector": "auto", "on_miss": "keep"}}))
    own = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-m", "stages.facecrop"], check=True, capture_output=True, text=True,
        env={**own, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stderr == "" and done.stdout.startswith("0 of 24 pictures have a face\n")


def test_what_others_write_while_it_is_imported_is_shown(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os; os.write(2, b'I0000 I am here\\nlibrary is missing\\n'); raise OSError('gone')"
    )
    code = "from celflow.quiet_tensorflow import import_tensorflow; import_tensorflow()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("library is missing\nTraceback")
    assert done.stderr.endswith("OSError: gone\n")
