"""Work on many files at once; data stages use it, so that two parameters move them to a cluster."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import joblib
import psutil
from tqdm import tqdm

from celflow.errors import UserError
from celflow.params import Workers

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = Workers(backend="threading")
PROCESSES = Workers(backend="loky")
PATIENCE = 10  # seconds that a cluster has to answer


def parallel_map(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: Workers,
    what: str,
    batch: int | Literal["auto"] = "auto",
) -> list[Result]:
    """`[work(item) for item in items]` on all cores or a cluster, with a progress bar named `what`.

    A cluster's workers see the project's folder under the path that it has here. What a worker had
    in hand when it died is done by another one.

    batch: items that a worker gets at a time; auto: by their time, one at a time for threads.

    Raises:
        UserError: the backend is not installed, or nobody answers at the cluster's address.
    """
    if workers.backend != "threading":
        work = _elsewhere(work, Path.cwd(), os.getpid() if workers.backend == "loky" else None)
    with _connected(workers), joblib.parallel_config(backend=workers.backend, n_jobs=-1):
        # Ray's backend hands all results over at the end: its bar stands still until then.
        as_they_come = "list" if workers.backend == "ray" else "generator"
        results = joblib.Parallel(return_as=as_they_come, batch_size=batch)(
            joblib.delayed(work)(item) for item in items
        )
        return list(tqdm(results, total=len(items), desc=what, unit="pic", disable=None))


def map_new(
    known: Callable[[Item], Result | None] | None,
    make: Callable[[Item], Result | None],
    items: Sequence[Item],
    workers: Workers,
    what: str,
    few: int,
) -> list[Result]:
    """`known(item)` of each item, or `make(item)` where that is None.

    known: what threads do at little cost; None where nothing is known.
    make: work for `workers`.
    few: up to so many items are made by threads: processes are not worth their start.

    Raises:
        UserError: as `parallel_map`.
    """
    found: list[Result | None] = [None] * len(items)
    if known is not None:
        found = parallel_map(known, items, THREADS, f"{what}, known", batch=50)
    new = [item for item, one in zip(items, found, strict=True) if one is None]
    if new:
        made = iter(parallel_map(make, new, workers if len(new) > few else THREADS, what))
        found = [next(made) if one is None else one for one in found]
    return [one for one in found if one is not None]


def _elsewhere(
    work: Callable[[Item], Result], folder: Path, parent: int | None
) -> Callable[[Item], Result]:
    """`work` for another process, maybe one that was started in another folder.

    parent: who started that process, and with whom it ends.
    """

    def there(item: Item) -> Result:
        if parent not in (None, os.getpid()):  # with one core, joblib starts no process
            _end_with(parent)
        os.chdir(folder)
        return work(item)

    return there


@cache
def _end_with(parent: int) -> None:
    """From now on, end this process within a second after `parent`, which started it, has ended."""

    def watch() -> None:
        # Of a parent that is gone, Unix tells another number, and Windows the same.
        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _connected(workers: Workers) -> Iterator[None]:
    """Connects joblib's backend with its cluster; null is one of this machine's processes."""
    if workers.backend not in ("dask", "ray"):
        yield
        return
    try:
        if workers.backend == "dask":
            from distributed import Client

            options = {} if workers.cluster else {"dashboard_address": None}
            connection = Client(workers.cluster, timeout=PATIENCE, **options)
        else:
            import ray
            from ray.util.joblib import register_ray

            connection = ray.init(workers.cluster, ignore_reinit_error=True)
            register_ray()
    except ImportError as error:
        raise UserError(
            f"data.backend '{workers.backend}': {error}; install it, here and where workers run "
            f"(`pip install 'celflow[cluster]'` has dask)"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"data.cluster '{workers.cluster}': nobody answers there ({error}); start one, or set "
            "data.cluster to null for this machine alone"
        ) from error
    with connection:
        yield
