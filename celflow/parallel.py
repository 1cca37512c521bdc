"""Work on many files at once; data stages use it, so that one parameter moves them to a cluster."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import joblib
from tqdm import tqdm

from celflow.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(
    work: Callable[[Item], Result], items: Sequence[Item], backend: str, what: str
) -> list[Result]:
    """`[work(item) for item in items]` on all cores or a cluster, with a progress bar named `what`.

    `backend` is one of joblib's: `loky` and `threading` need nothing else, `dask` and `ray` have to
    be installed and connected to a cluster.

    Raises:
        UserError: the backend is not installed.
    """
    try:
        if backend == "ray":
            from ray.util.joblib import register_ray

            register_ray()
        with joblib.parallel_config(backend=backend, n_jobs=-1):
            results = joblib.Parallel(return_as="generator")(
                joblib.delayed(work)(item) for item in items
            )
            return list(tqdm(results, total=len(items), desc=what, unit="pic", disable=None))
    except (ImportError, ValueError) as error:
        if backend in ("dask", "ray"):
            raise UserError(f"data.backend '{backend}': {error}") from error
        raise
