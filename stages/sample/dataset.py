"""Every picture of the sample: its name, and what draws it. Same parameters, same bytes."""

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from celflow.files import atomic_dir
from celflow.parallel import PROCESSES, parallel_map
from celflow.params import SampleConfig, Workers
from stages.sample.cast import CAST
from stages.sample.drawings import illustration, scene
from stages.sample.encoding import jpeg, png
from stages.sample.faulty_files import add_faulty_files
from stages.sample.photos import SOURCES, photo, read_source, spread_crops
from stages.sample.scenes import SCENES

Job = tuple[
    Callable[..., np.ndarray], tuple[Any, ...]
]  # what draws a picture, and its arguments but `rng`


def make_sample(folder: Path, params: SampleConfig, workers: Workers = PROCESSES) -> None:
    """Write the sample to `folder`, in place of what may be there; nothing is left half-written.

    Below `folder`: `cartoon_or_photo/cartoon/<kind>_NNN`, `cartoon_or_photo/photo/<source>__NNN`,
    `characters/<name>/NNN`, each .jpg or .png, and the files in `FAULTY_FILES`.

    Raises:
        UserError: a package ships one of the photographs no more.
    """
    jobs = {**cartoon_jobs(params), **photo_jobs(params), **character_jobs(params)}
    with atomic_dir(folder) as new:
        for name in {Path(name).parent for name in jobs}:
            (new / name).mkdir(parents=True)
        parallel_map(
            partial(write_picture, new, params.seed), list(jobs.items()), workers, "sample"
        )
        add_faulty_files(new, generator(params.seed, "rubbish"))


def generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers of a picture's own, so that no picture depends on the order of the work."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def cartoon_jobs(params: SampleConfig) -> dict[str, Job]:
    """Every drawing by its path without ending: all kinds interleaved, and some people on top."""
    kinds = list(SCENES)
    things = {
        f"{kinds[i % len(kinds)]}_{i // len(kinds):03d}": kinds[i % len(kinds)]
        for i in range(params.drawings)
    }
    people = {f"person_{i:03d}": "person" for i in range(params.drawings // 5)}
    return {
        f"cartoon_or_photo/cartoon/{n}": (scene, (kind,)) for n, kind in (things | people).items()
    }


def photo_jobs(params: SampleConfig) -> dict[str, Job]:
    """Every photograph by its path without ending: the sources interleaved, by their weights."""
    turns = [name for turn in range(3) for name, (_, _, weight) in SOURCES.items() if weight > turn]
    names = [turns[i % len(turns)] for i in range(params.photos)]
    jobs: dict[str, Job] = {}
    for source in dict.fromkeys(names):
        rng = generator(params.seed, source)
        crops = spread_crops(read_source(source), names.count(source), rng)
        jobs |= {
            f"cartoon_or_photo/photo/{source}__{i:03d}": (photo, (source, c))
            for i, c in enumerate(crops)
        }
    return jobs


def character_jobs(params: SampleConfig) -> dict[str, Job]:
    """Every illustration by its path without ending."""
    return {
        f"characters/{design.name}/{i:03d}": (illustration, (design,))
        for design in CAST[: params.characters]
        for i in range(params.illustrations)
    }


def write_picture(folder: Path, seed: int, named_job: tuple[str, Job]) -> None:
    """Draw one picture and write it as JPEG or PNG; neither format nor size tells the class."""
    name, (draw, arguments) = named_job
    rng = generator(seed, name)
    path = folder / name
    if rng.uniform() < 0.75:
        path.with_suffix(".jpg").write_bytes(jpeg(draw(*arguments, rng), int(rng.integers(75, 96))))
    else:
        path.with_suffix(".png").write_bytes(png(draw(*arguments, rng)))
