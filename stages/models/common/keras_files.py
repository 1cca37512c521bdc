"""Keras models on disk, in files that are the same whenever and wherever they are written."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from celflow.files import write_bytes

MODEL_FILE = "model.keras"
_NO_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold


def save(model: keras.Model, path: Path) -> None:
    """Write a `.keras` file without the time of day and addresses in memory, which Keras puts in.

    So that the same training gives the same file, for DVC and for who wants to compare.
    """
    buffer = io.BytesIO()
    path.parent.mkdir(parents=True, exist_ok=True)
    dated = path.with_name(f".{path.name}.dated.keras")
    model.save(dated)
    with zipfile.ZipFile(dated) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "metadata.json":
                metadata = json.loads(content)
                content = json.dumps({**metadata, "date_saved": ""}, sort_keys=True).encode()
            elif name == "config.json":
                content = json.dumps(_without_numbers(json.loads(content))).encode()
            target.writestr(zipfile.ZipInfo(name, _NO_DATE), content)
    dated.unlink()
    write_bytes(path, buffer.getvalue())


def load(folder: Path, compile: bool = False) -> keras.Model:
    """The model that `save` wrote as `folder`/model.keras.

    compile: with loss and optimizer, to train on. Keras warns of an optimizer that never made a
    step, so who only asks the model goes without.
    """
    model = keras.models.load_model(folder / MODEL_FILE, compile=compile)
    model.jit_compile = False  # XLA compiles for longer than so small a network runs
    return model


def _without_numbers(config: Any) -> Any:
    """A config without the numbers of objects that layers share, such as an initializer.

    They are addresses in memory, and gone once a model was loaded: each layer has its own then.
    """
    if isinstance(config, list):
        return [_without_numbers(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _without_numbers(value) for key, value in config.items() if key != "shared_object_id"
    }


def variables(model: keras.Model) -> list[tf.Variable]:
    """What a SavedModel must hold of a Keras model; all of it would bring graphs of its own."""
    return [weight.value for weight in model.weights]  # without the seeds of dropout
