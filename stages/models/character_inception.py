"""Who is it, from a face, by transfer learning on Inception-v3."""

from pathlib import Path

from celflow.params import Params
from celflow.manifest import Split, Examples
from stages.models import Log, network, transfer

export = network.export
predict = network.predict


def fit(params: Params, splits: dict[Split, Examples], folder: Path, scratch: Path, log: Log) -> None:
    """Train on the faces of train, stop by those of val."""
    transfer.fit(params.train.character_inception, params, splits, folder, scratch, log)
