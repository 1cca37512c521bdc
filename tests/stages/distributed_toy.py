"""A classifier whose loss is the same on one device and on several, and a worker that fits it.

`python -m tests.stages.distributed_toy FOLDER HOW [KILL]` fits it as the worker that TF_CONFIG says
(`multiworker`), or with XLA and then on two logical CPUs (`xla,mirrored`); it prints each curve, or
kills itself (SIGKILL) after epoch KILL.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import yaml
from keras import layers

from celflow.manifest import Examples
from celflow.params import Params
from stages.models.common import training_loop
from stages.models.common.cluster import is_chief
from stages.models.common.config import NetworkConfig
from stages.models.common.keras_classifier import KerasClassifier
from stages.models.common.model import Splits

from .conftest import ROOT
from .toy_classifier import CONFIG, splits

EPOCHS = 4


class Plain(KerasClassifier[NetworkConfig]):
    """No dropout, and batch normalisation with no effect: each device has its own."""

    config_class = NetworkConfig
    tasks = ("cartoon_or_photo",)

    def build(self, splits: Splits) -> keras.Model:
        """Pixels [N, 32, 32, 3] to probabilities [N, 2]."""
        inputs = keras.Input((32, 32, 3))
        x = layers.Conv2D(8, 4, strides=4)(layers.Rescaling(1 / 255)(inputs))
        x = layers.GlobalAveragePooling2D()(layers.Activation("relu")(x))
        idle = layers.Rescaling(0.0)(layers.BatchNormalization()(x))
        x = layers.add([x, idle])
        return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


def plain(trainer: str = "fast_loop", **compute: Any) -> Plain:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    task = {"task": "cartoon_or_photo", "dataset": "cartoon_or_photo", "code": "none"}
    content["models"]["toy"] = task
    content["train"]["toy"] = {
        **CONFIG, "trainer": trainer, "patience": None, "epochs": EPOCHS, "compute": compute,
    }  # fmt: skip
    return Plain("toy", Params.model_validate(content))


def examples(folder: Path) -> Splits:
    """19 to train on, so that the last batch of three cannot be halved."""
    found = splits(folder)
    train = found["train"]
    return {**found, "train": Examples(train.paths[:19], train.truth[:19], train.labels)}


def fit(folder: Path, kill: int | None = None, **compute: Any) -> list[dict[str, float]]:
    """The metrics of each epoch."""
    curve: list[dict[str, float]] = []

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        curve.append(dict(metrics))
        if len(curve) == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    own = folder / "fit" if is_chief() else folder / "other_worker"
    (folder / "data").mkdir(exist_ok=True)
    plain(**compute).fit(examples(folder / "data"), own, folder / "checkpoints", log)
    return curve


def main() -> None:
    folder, how, *kill = sys.argv[1:]
    training_loop.CHECKPOINT_SHARE = 1e9  # a checkpoint after every epoch, short as they are
    if how != "multiworker":
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    for one in how.split(","):
        compute = {"jit_compile": True} if one == "xla" else {"strategy": one}
        place = Path(folder) / one if "," in how else Path(folder)
        place.mkdir(exist_ok=True)
        print(json.dumps(fit(place, int(kill[0]) if kill else None, **compute)))


if __name__ == "__main__":
    main()
