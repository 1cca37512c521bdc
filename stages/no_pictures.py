"""What the stages of a model leave for DVC where its dataset has no pictures."""

from pathlib import Path

from celflow import manifest
from celflow.errors import UserError
from celflow.files import atomic_dir, write_bytes
from celflow.params import Params

EMPTY = {".json": b"{}\n", ".csv": b"epoch\n"}  # a file that says nothing


def skips(model: str, params: Params, *outputs: Path) -> bool:
    """Whether there is nothing to do: params.yaml gives the model's dataset no folder (null).

    Then a line says so, and the outputs of the stage, files and folders, are left empty.

    Raises:
        UserError: the dataset has no pictures, but params.yaml names a folder.
    """
    dataset = params.dataset(model)
    if any(len(examples) for examples in manifest.read(dataset).values()):
        return False
    reason = params.data.missing(dataset) or f"no {dataset} was split: run `dvc repro split`"
    if params.data.folder(dataset) is not None:
        raise UserError(f"{model} can't be trained: {reason}")
    for output in outputs:
        if output.suffix in EMPTY:
            write_bytes(output, EMPTY[output.suffix])
        else:
            with atomic_dir(output):
                pass
    print(f"{model}: left out, {reason}")
    return True
