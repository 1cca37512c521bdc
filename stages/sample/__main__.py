"""Write the built-in sample, `data/sample/`: what the pipeline runs on without any download.

Cartoons and characters are drawn here; photographs are cut from those that installed packages ship.
Some faulty files are among them on purpose, for `clean` to find.
"""

from pathlib import Path

from celflow import errors
from celflow.params import Params, load
from stages.sample.dataset import make_sample


def run(params: Params) -> None:
    """Write `data/sample`, as `params.yaml` says."""
    make_sample(Path("data/sample"), params.sample, params.data)


if __name__ == "__main__":
    errors.run(lambda: run(load()))
