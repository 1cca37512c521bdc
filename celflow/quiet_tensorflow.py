"""TensorFlow's import, without the lines by which its libraries introduce themselves.

They write them while they are loaded, before `TF_CPP_MIN_LOG_LEVEL` means anything to them.
"""

import os
import sys
import tempfile

_INTRODUCTION = (b"WARNING: All log messages before absl::InitializeLog()", b"I0000 ")


def import_tensorflow() -> None:
    """Import TensorFlow; what else is written to stderr meanwhile is shown afterwards."""
    if "tensorflow" in sys.modules:
        return
    with tempfile.TemporaryFile() as caught:
        stderr = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            for line in caught:
                if not line.startswith(_INTRODUCTION):
                    os.write(2, line)
