"""What TensorFlow and Keras say of themselves does not reach who runs a stage or a server."""

import os
import subprocess
import sys

import pytest

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
