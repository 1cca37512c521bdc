"""Keras models on disk, in files that are the same whenever and wherever they are written."""

import io
import itertools
import json
import re
import zipfile
from collections import defaultdict
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
                config = _without_shared_policies(json.loads(content))
                content = _numbered(json.dumps(config)).encode()
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


def _without_shared_policies(config: Any) -> Any:
    """A config without the numbers of dtype policies, which layers share until they are loaded."""
    if isinstance(config, list):
        return [_without_shared_policies(item) for item in config]
    if not isinstance(config, dict):
        return config
    is_policy = config.get("class_name") == "DTypePolicy"
    return {
        key: _without_shared_policies(value)
        for key, value in config.items()
        if not (is_policy and key == "shared_object_id")
    }


def _numbered(config: str) -> str:
    """A model's config, whose shared objects are named by numbers from 0 on."""
    number: dict[str, int] = defaultdict(itertools.count().__next__)
    return re.sub(r'(?<="shared_object_id": )\d+', lambda found: str(number[found[0]]), config)


def variables(model: keras.Model) -> list[tf.Variable]:
    """What a SavedModel must hold of a Keras model; all of it would bring graphs of its own."""
    return [weight.value for weight in model.weights]  # without the seeds of dropout
