"""One change of what is served at a time, and none half done.

served/.lock is held by who changes anything. served/.moving names the models whose server,
config or aliases may disagree: written before the first is touched, removed when all are done. A
command that is killed leaves it, and the next one completes what it finds.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from celflow import registry, tracking
from celflow.errors import UserError
from celflow.files import write_json
from promotion.served_folder import SERVED
from serving.client import Client


class HalfDone(UserError):
    """A change stopped where the next command has to complete it."""


LOCK = SERVED / ".lock"
MOVING = SERVED / ".moving"


@contextmanager
def holding() -> Iterator[None]:
    """Hold this place of deployment and the registry: other commands wait."""
    with tracking.hold(LOCK), registry.lock():
        yield


@contextmanager
def completed(client: Client, model: str, sync: Callable[[Client, str], None]) -> Iterator[None]:
    """First complete what killed commands left of any model: the registry decides.

    model: which one the caller is about to change. Another one that can't be completed now does not
        stop it, and stays on the list.
    """
    left = unfinished()
    registry.finish(model)
    for name in left:
        registry.finish(name)
        try:
            sync(client, name)
        except UserError:
            if name != model:
                continue
        _remember({*unfinished()} - {name})
    yield


@contextmanager
def journal(models: Iterable[str]) -> Iterator[None]:
    """Remember that models are being changed; an error but `HalfDone` has put them back."""
    others = {*unfinished()} - {*models}
    _remember({*others, *models})
    try:
        yield
    except HalfDone:
        raise
    except Exception:
        _remember(others)
        raise
    _remember(others)


def unfinished() -> list[str]:
    """Models that a killed command may have left half changed."""
    return list(json.loads(MOVING.read_text())) if MOVING.is_file() else []


def _remember(models: Iterable[str]) -> None:
    names = sorted(models)
    if names:
        write_json(MOVING, names)
    else:
        MOVING.unlink(missing_ok=True)
