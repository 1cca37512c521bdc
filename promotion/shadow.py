"""Mirror what is asked of a champion to another version, while the server runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from celflow.errors import UserError
from celflow.registry import CHAMPION
from celflow.waiting import until_available
from promotion import serving_config
from promotion.breakdown import Breakdown
from promotion.replay import DISAGREEMENTS, Comparison, add
from promotion.served_folder import SERVED
from promotion.traffic import Asked, in_words, logged
from serving.client import Client, ModelNotFound, Prediction, ServerError
from serving.client.requests import VersionSpec
from serving.request_logs import Follower

LOGS = SERVED / "logs"
UNSURE = "unsure"
_POLL = 0.5  # seconds


class ChampionTraffic:
    """What the champion is asked and answers, as the server logs it.

    What other versions are asked, by us above all, does not count.
    """

    def __init__(self, model: str, champion: int, prefix: Path) -> None:
        self._model, self._champion = model, champion
        self._follower = Follower(prefix)
        for _ in self._follower.new():  # of earlier times
            pass

    def new(self) -> Iterator[Asked]:
        """What was asked since the last time."""
        for asked in logged(self._follower.new(), self._model):
            if asked.answer.version == self._champion:
                yield asked


@contextmanager
def request_log(client: Client, model: str, share: float) -> Iterator[ChampionTraffic]:
    """Let the server log a share of a model's requests in this block; yields what it logs.

    Raises:
        UserError: the share is none, or no champion of the model is served.
    """
    if not 0 < share <= 1:
        raise UserError(f"--share {share:g} is not above 0 and at most 1")
    prefix = (LOGS / model).absolute()
    champion = serving_config.labelled(serving_config.read()).get(model, {}).get(CHAMPION)
    if champion is None:
        raise UserError(f"{serving_config.MODELS_CONFIG} has no champion of {model}")
    traffic = ChampionTraffic(model, champion, prefix)
    _log(client, model, prefix, share)
    try:
        yield traffic
    finally:
        _log(client, model, prefix, 0.0)


def _log(client: Client, model: str, prefix: Path, share: float) -> None:
    config = serving_config.read()
    entry = next(one for one in config.model_config_list.config if one.name == model)
    entry.ClearField("logging_config")
    if share:
        logging = entry.logging_config
        logging.sampling_config.sampling_rate = share
        logging.log_collector_config.type = "file"
        logging.log_collector_config.filename_prefix = str(prefix)
    serving_config.write(config)
    client.reload_config(config)


def mirror(
    client: Client,
    model: str,
    version: VersionSpec,
    traffic: ChampionTraffic,
    comparison: Comparison,
    is_over: Callable[[int], bool],
    keep: Path = DISAGREEMENTS,
) -> None:
    """Ask a version what the champion is asked, as `replay`, until `is_over` of the number.

    Where the server is away, it is waited for.
    """
    while True:
        for asked in traffic.new():
            add(comparison, asked, _ask(client, model, version, asked), keep / model)
            if is_over(comparison.asked):
                return
        time.sleep(_POLL)


def watch(
    client: Client,
    model: str,
    before: int,
    traffic: ChampionTraffic,
    is_over: Callable[[int], bool],
) -> str | None:
    """Watch a champion until `is_over` of the number of its answers; returns why they have broken
    down, or None.

    An answer is bad where the version before it decides otherwise, or where the champion is unsure
    and that version is not. Where nobody asks anything, or nobody gets an answer and so nothing is
    logged, the champion is asked a picture by us; that it fails is bad, too. That the server is
    away speaks against no version: it is waited for.

    before: the number of the version before it, which must be served.
    """
    test = Breakdown()
    sample: bytes | None = None
    while True:
        was_asked = False
        for one in traffic.new():
            sample, was_asked = one.picture, True
            if test.add(is_bad(one, _ask(client, model, before, one))):
                return f"{test.bad} of {test.answers} answers differ from version {before}'s"
            if is_over(test.answers):
                return None
        if not was_asked and not _answers(client, model, sample) and test.add(True):
            return f"it fails: {test.bad} of {test.answers} answers are bad"
        time.sleep(_POLL)


def is_bad(asked: Asked, other: Prediction | Exception) -> bool:
    """Whether a champion's answer speaks against it, seen beside that of the version before."""
    if not isinstance(other, Prediction):
        return False  # that one's fault
    mine, theirs = in_words(asked.answer), in_words(other)
    if theirs == UNSURE:
        return False
    return mine != theirs


def _ask(client: Client, model: str, version: VersionSpec, asked: Asked) -> Prediction | Exception:
    try:
        return until_available(lambda: client.predict(model, [asked.picture], version))
    except ModelNotFound:
        raise
    except ServerError as error:
        return error


def _answers(client: Client, model: str, picture: bytes | None) -> bool:
    import numpy as np

    from celflow.images import encode_png

    sample = picture or encode_png(np.full((64, 64, 3), 127, np.uint8))
    try:
        until_available(lambda: client.predict(model, [sample], "stable"))
    except ServerError:
        return False
    return True
