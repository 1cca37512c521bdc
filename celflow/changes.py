"""The history of a model's aliases, kept as tags of the model in MLflow.

A change is written down whole before the first alias moves, and marked as done after the last one:
what a killed command leaves is completed by the next. Who changes anything holds `tracking.lock`.
"""

import getpass
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
PREFIX = "celflow.change."
MOST_LETTERS = 1000  # of a reason; a tag holds 5000

Aliases = dict[str, int]  # alias to version


@dataclass(frozen=True)
class Change:
    """A version got an alias.

    number: counts from 1. when: ISO 8601, UTC. kind: promote, rollback or register.
    before, after: all aliases of the model. gate: what the gate said. done: all are written.
    """

    number: int
    when: str
    who: str
    kind: str
    alias: str
    version: int
    before: Aliases
    after: Aliases
    reason: str = ""
    gate: str = ""
    forced: bool = False
    done: bool = False


def read(client: MlflowClient, model: str) -> list[Change]:
    """All changes of a model, the first first; none for a name that MLflow does not know."""
    tags = _registered(client, model)[1]
    found = {key: value for key, value in tags.items() if key.startswith(PREFIX)}
    return [Change(**json.loads(found[key])) for key in sorted(found)]


def finish(client: MlflowClient, model: str) -> Change | None:
    """Write what the last change still lacks; returns it where it was not done."""
    history = read(client, model)
    if not history or history[-1].done:
        return None
    _write(client, model, history[-1])
    return history[-1]


def plan(
    client: MlflowClient, model: str, alias: str, version: int, kind: str,
    reason: str = "", gate: str = "", forced: bool = False,
) -> Change:  # fmt: skip
    """What giving an alias to a version means; nothing is written yet."""
    history = read(client, model)
    before = _registered(client, model)[0]
    change = Change(
        number=len(history) + 1,
        when=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        who=_user(), kind=kind, alias=alias, version=version, before=before,
        after=before, reason=reason[:MOST_LETTERS], gate=gate[:MOST_LETTERS], forced=forced,
    )  # fmt: skip
    return replace(change, after=after(history, change))


def commit(client: MlflowClient, model: str, change: Change) -> None:
    """Write a change down, then the aliases."""
    _save(client, model, change)
    _write(client, model, change)


def after(history: Sequence[Change], change: Change) -> Aliases:
    """The aliases that a change leads to; a champion leaves `challenger`, and `previous` follows.

    history: the changes before it.
    """
    aliases = {**change.before, change.alias: change.version}
    if change.alias != CHAMPION:
        return aliases
    if aliases.get(CHALLENGER) == change.version:
        del aliases[CHALLENGER]
    line = champions([*history, change], aliases)
    if len(line) > 1:
        aliases[PREVIOUS] = line[-2]
    else:
        aliases.pop(PREVIOUS, None)
    return aliases


def champions(history: Sequence[Change], now: Aliases) -> list[int]:
    """The champions that a rollback walks back through, the present one last.

    A rollback takes those after the one it went to out of the line. A champion that somebody made
    in MLflow itself counts, as well as those of a registry without a history.
    """
    line: list[int] = []
    for change in history:
        if change.alias != CHAMPION:
            continue
        if not line:
            line = _of_aliases(change.before)
        elif (was := change.before.get(CHAMPION)) is not None:
            _move(line, was)
        if change.kind == "rollback" and change.version in line:
            while line[-1] != change.version:
                line.pop()
        else:
            _move(line, change.version)
    if not line:
        return _of_aliases(now)
    if CHAMPION in now:
        _move(line, now[CHAMPION])
    return line


def champion_at(history: Sequence[Change], when: str) -> int | None:
    """The version that was champion at a time (ISO 8601, UTC), as far as the history tells."""
    champion: int | None = None
    for position, change in enumerate(one for one in history if one.alias == CHAMPION):
        if change.when > when:
            return change.before.get(CHAMPION) if position == 0 else champion
        champion = change.version
    return champion


def _of_aliases(aliases: Aliases) -> list[int]:
    found = [aliases[alias] for alias in (PREVIOUS, CHAMPION) if alias in aliases]
    return list(dict.fromkeys(found))


def _move(line: list[int], version: int) -> None:
    if not line or line[-1] != version:
        line.append(version)


def _write(client: MlflowClient, model: str, change: Change) -> None:
    now = _registered(client, model)[0]
    # The champion last: until then, the one before is champion still.
    for alias in sorted({*now, *change.after}, key=lambda alias: (alias == CHAMPION, alias)):
        version = change.after.get(alias)
        if alias not in (CHAMPION, CHALLENGER, PREVIOUS) or version == now.get(alias):
            continue  # what other people's aliases mean is not known here
        if version is None:
            client.delete_registered_model_alias(model, alias)
        elif _exists(client, model, version):
            client.set_registered_model_alias(model, alias, str(version))
    _save(client, model, replace(change, done=True))


def _save(client: MlflowClient, model: str, change: Change) -> None:
    text = json.dumps(asdict(change), ensure_ascii=False)
    client.set_registered_model_tag(model, f"{PREFIX}{change.number:06}", text)


def _registered(client: MlflowClient, model: str) -> tuple[Aliases, dict[str, Any]]:
    try:
        found = client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}, {}
    return {alias: int(version) for alias, version in found.aliases.items()}, found.tags


def _exists(client: MlflowClient, model: str, version: int) -> bool:
    try:
        client.get_model_version(model, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
