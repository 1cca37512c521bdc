"""List the raw pictures, so that DVC sees when one changes, wherever they lie.

Reads the raw folders, those in an object store by way of a copy. Writes data/raw.csv: dataset, file
(from its folder) and SHA-256. It runs every time; what comes after it runs where the list is
another. As DVC's own deps the folders could neither be missing nor begin with `~`.
"""

import hashlib
import sys
from pathlib import Path

import pandas as pd

from celflow import errors, parallel
from celflow.files import write_bytes
from celflow.manifest import images_in
from celflow.names import as_text, shown
from celflow.params import COPIES, DATASETS, Dataset, Params, load

LIST = Path("data/raw.csv")
CLASSES: dict[Dataset, tuple[str, ...]] = {"cartoon_or_photo": ("cartoon", "photo")}


def digest(path: Path) -> str | None:
    """The SHA-256 of a file; empty if it can't be read, None if it is there no more."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError:
        return ""


def _check_classes(dataset: Dataset, folder: Path, found: list[str]) -> None:
    wanted = CLASSES.get(dataset)
    if wanted and sorted(found) != sorted(wanted):
        raise errors.UserError(
            f"{folder} has the classes {', '.join(map(shown, found))}: its folders have to be "
            f"{' and '.join(wanted)}, which all that tells them apart goes by"
        )


def run(params: Params) -> None:
    """List the files of all datasets; one without a folder is said and left out.

    Raises:
        UserError: no dataset has a folder, or one is not as it has to be.
    """
    for dataset in DATASETS:
        if address := params.data.address(dataset):
            from stages.remote_folder import mirror  # imports what few need

            mirror(address, COPIES / dataset)
    missing = {dataset: params.data.missing(dataset) for dataset in DATASETS}
    if all(missing.values()):
        raise errors.UserError("; ".join(str(reason) for reason in missing.values()))
    rows = []
    for dataset in DATASETS:
        folder = params.data.folder(dataset)
        if folder is None or missing[dataset]:
            print(f"no pictures of {dataset}: {missing[dataset]}", file=sys.stderr)
            continue
        classes = images_in(folder)
        _check_classes(dataset, folder, list(classes))
        files = [path for inner in classes.values() for path in inner]
        # Threads: reading and hashing wait for no Python.
        digests = parallel.parallel_map(digest, files, parallel.THREADS, f"list {dataset}")
        names = [as_text(path.relative_to(folder).as_posix()) for path in files]
        found = zip(names, digests, strict=True)
        rows += [(dataset, name, sha256) for name, sha256 in found if sha256 is not None]
    table = pd.DataFrame(rows, columns=["dataset", "file", "sha256"])
    write_bytes(LIST, table.to_csv(index=False).encode())
    counts = table["dataset"].value_counts(sort=False)
    print(", ".join(f"{count} files of {dataset}" for dataset, count in counts.items()))


if __name__ == "__main__":
    errors.run(lambda: run(load()))
