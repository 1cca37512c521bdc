"""`python -m serving.scan.keras_export FILE FOLDER`: a Keras model's file as a SavedModel.

A process of its own, so that TensorFlow is loaded by nobody who does not need it. Keras's safe mode
stays on: code that a file brings along is not run.
"""

import sys
from pathlib import Path

from celflow import errors
from celflow.errors import UserError
from celflow.quiet_tensorflow import import_tensorflow


def export(file: Path, folder: Path) -> None:
    """Write the SavedModel; its signature is the model's own call.

    Raises:
        UserError: the file is no Keras model, or needs code that it brings along.
    """
    import_tensorflow()
    import keras

    try:
        model = keras.models.load_model(file, compile=False)
    except Exception as error:  # whatever a stranger's file makes Keras raise
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"Keras can't read {file.name}: {reason}") from error
    model.export(folder, verbose=False)


if __name__ == "__main__":
    errors.run(lambda: export(Path(sys.argv[1]), Path(sys.argv[2])))
