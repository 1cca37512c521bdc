"""The same training as `training_loop.py`, by `model.fit` and Keras's own callbacks."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from celflow.files import write_json
from stages.models.common import keras_files, training_loop
from stages.models.common.keras_files import MODEL_FILE
from stages.models.common.model import Log
from stages.models.common.training_loop import Batches, Metrics

HISTORY_FILE = "history.json"
BEST_FILE = "best.weights.h5"


def fit(
    network: keras.Model,
    batches_of: Callable[[int], Batches],
    validate: Callable[[keras.Model], Metrics],
    epochs: int,
    patience: int | None,
    seed: int,
    folder: Path,
    checkpoint_dir: Path,
    log: Log,
) -> None:
    """Train a compiled network by `model.fit`, and save it into `folder`.

    Keras's BackupAndRestore takes up a fit that was killed, after its last whole epoch.

    batches_of: the batches of an epoch. validate: metrics of an epoch, as in `training_loop`.
    patience: epochs without a lower one; then the best epoch counts. None: all, and the last.
    """
    # Where all epochs are done already, Keras would warn of an optimizer that is not built.
    network.optimizer.build(network.trainable_variables)
    data = _Epochs(batches_of)
    epoch_end = _EpochEnd(data, validate, epochs, patience, seed, checkpoint_dir, log)
    backup = _Backup(len(data), checkpoint_dir / "backup")
    stopped_early = patience is not None and training_loop.is_finished(
        epoch_end.history, epochs, patience
    )
    if not stopped_early:
        callbacks = [epoch_end, backup]
        network.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    epoch_end.log_history()
    if patience is not None:
        network.load_weights(checkpoint_dir / BEST_FILE)
    keras_files.save(network, folder / MODEL_FILE)


class _Epochs(keras.utils.PyDataset):
    """The batches of one epoch after another, as `model.fit` wants them."""

    def __init__(self, batches_of: Callable[[int], Batches]) -> None:
        super().__init__(workers=2, use_multiprocessing=False)
        self._batches_of = batches_of
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Give the batches of this epoch from now on."""
        self._batches = self._batches_of(epoch)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return self._batches[index]


class _Backup(keras.callbacks.BackupAndRestore):
    """Goes on at the epoch that the weights are of.

    Keras writes weights and number of the epoch one after the other, and may be killed between; the
    optimizer's number of steps is among the weights.
    """

    def __init__(self, steps: int, folder: Path) -> None:
        super().__init__(str(folder), double_checkpoint=True, delete_checkpoint=False)
        self._steps = steps

    def on_train_begin(self, logs: Metrics | None = None) -> None:
        """Restore, and count the epochs that are done."""
        super().on_train_begin(logs)
        self.model._initial_epoch = int(self.model.optimizer.iterations) // self._steps


class _EpochEnd(keras.callbacks.Callback):
    """Measures, logs and stops; keeps the history, which Keras's EarlyStopping would forget."""

    def __init__(
        self,
        data: _Epochs,
        validate: Callable[[keras.Model], Metrics],
        epochs: int,
        patience: int | None,
        seed: int,
        checkpoint_dir: Path,
        log: Log,
    ) -> None:
        super().__init__()
        self._data = data
        self._validate = validate
        self._epochs = epochs
        self._patience = patience
        self._seed = seed
        self._checkpoint_dir = checkpoint_dir
        self._log = log
        self._logged = 0
        kept = checkpoint_dir / HISTORY_FILE
        self.history: list[Metrics] = json.loads(kept.read_text()) if kept.is_file() else []

    def on_epoch_begin(self, epoch: int, logs: Metrics | None = None) -> None:
        """An epoch whose checkpoint did not come to be is trained once more."""
        del self.history[epoch:]
        self.log_history()
        self._data.begin(epoch)
        training_loop.reseed(self.model, self._seed, epoch)

    def on_epoch_end(self, epoch: int, logs: Metrics | None = None) -> None:
        """Before BackupAndRestore, so that no epoch is counted twice after a kill."""
        metrics = {**(logs or {}), **self._validate(self.model)}
        self.history.append(metrics)
        if training_loop.best_epoch(self.history) == epoch:
            beside = self._checkpoint_dir / f"new.{BEST_FILE}"
            self.model.save_weights(beside)
            beside.replace(self._checkpoint_dir / BEST_FILE)
        write_json(self._checkpoint_dir / HISTORY_FILE, self.history)
        self.log_history()
        training_loop.print_epoch(epoch, self._epochs, metrics)
        self.model.stop_training = training_loop.is_finished(
            self.history, self._epochs, self._patience
        )

    def log_history(self) -> None:
        """Log the epochs that were not logged yet, those of before an interruption among them."""
        for epoch in range(self._logged, len(self.history)):
            self._log(epoch, self.history[epoch])
        self._logged = max(self._logged, len(self.history))
