"""Data stages go through here, so that one parameter moves them to a cluster."""

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

    `backend` is one of joblib's: `loky` and `threading` work at once, `dask` and `ray` where those
    are installed and a cluster is connected.

    Raises:
        UserError: the backend is not installed.
    """
    try:
        if backend == "ray":
            from ray.util.joblib import register_ray  # type: ignore[import-not-found]

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
