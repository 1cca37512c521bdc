"""What the commands do, as functions; from elsewhere: `from celflow import mlops`.

They work on the project in the current folder and the MLflow that it names, as the commands do.
What a user can put right raises `celflow.errors.UserError`. server: gRPC address, HOST:PORT.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from celflow import changes, params, registry
from celflow.changes import Change
from celflow.errors import UserError
from celflow.registry import RegisteredVersion
from celflow.waiting import until_available
from promotion import deploy as _deploy
from promotion import diff_sheet as _diff_sheet
from promotion import gate as _gate
from promotion import replay as _replay
from promotion import shadow as _shadow
from promotion import signing as _signing
from promotion import status as _status
from promotion import traffic, versions
from promotion import verify as _verify
from promotion.deploy import Deployed
from promotion.gate import Verdict
from promotion.replay import Comparison
from promotion.status import Line
from promotion.verify import Verified
from serving.client import Client
from serving.labels import LABELS

SERVER = "127.0.0.1:8500"
RECOGNISER = "character_embedding"
DISAGREEMENTS = Path("data/disagreements")


class GateFailed(UserError):
    """A version does not pass the gate. verdict: why."""

    def __init__(self, words: str, verdict: Verdict) -> None:
        super().__init__(words)
        self.verdict = verdict


@dataclass(frozen=True)
class Moved:
    """A version got an alias.

    verdict: of the gate; None for a rollback or a challenger. skipped: versions that a rollback
    passed over, since they are deleted in MLflow.
    """

    version: RegisteredVersion
    alias: str
    deployed: Deployed
    verdict: Verdict | None = None
    skipped: tuple[int, ...] = ()


def models() -> list[RegisteredVersion]:
    """Every registered version, with its aliases, tags and metrics."""
    return registry.versions()


def show(model: str, version: int) -> dict[str, Any]:
    """All that is known of a version: parameters, metrics, lineage, gate, changes."""
    return versions.describe(registry.get(model, version))


def diff(model: str, old: int, new: int) -> dict[str, dict[str, Any]]:
    """How two versions differ; see `versions.difference`."""
    return versions.difference(registry.get(model, old), registry.get(model, new))


def diff_sheet(model: str, old: int, new: int) -> tuple[bytes, str]:
    """The test pictures on which two versions disagree, a PNG, and a line that says how many."""
    pair = registry.get(model, old), registry.get(model, new)
    return _diff_sheet.sheet(*pair, params.load())


def gate(model: str, version: int, margin: float | None = None) -> Verdict:
    """Compare a version with the champion; nothing is changed.

    margin: by how much it may be worse (default: registry.margin of params.yaml).
    """
    champion = registry.with_alias(model, registry.CHAMPION)
    return _gate.compare(champion, registry.get(model, version), params.load(), margin)


def promote(
    model: str, version: int, to: str = registry.CHAMPION, *, force: bool = False,
    margin: float | None = None, reason: str = "", server: str = SERVER,
    judged: Callable[[Verdict], None] | None = None,
) -> Moved:  # fmt: skip
    """Make a version champion or challenger; a running server answers with it afterwards.

    force: even if the gate fails. margin: as in `gate`. judged: is told what the gate says before
    anything is moved.

    Raises:
        GateFailed: it fails, and `force` is not set.
        UserError: there is no such version, or it does not load; then nothing has changed.
    """
    candidate = registry.get(model, version)
    if to != registry.CHAMPION:
        return _move(candidate, to, server, reason=reason)
    champion = registry.with_alias(model, registry.CHAMPION)
    verdict = _gate.compare(champion, candidate, params.load(), margin)
    forced = not verdict.passed and force
    _gate.record(candidate, verdict, forced)
    if judged is not None:
        judged(verdict)
    if not verdict.passed and not force:
        raise GateFailed(
            f"{model} version {version} does not pass the gate ({verdict.reason}): test it on "
            "more pictures, allow more with --margin, or overrule it with --force",
            verdict,
        )
    compared = None if champion is None else champion.version
    why = {"gate": verdict.reason, "forced": forced, "compared": compared, "reason": reason}
    return _move(candidate, to, server, verdict, **why)


def rollback(model: str, *, reason: str = "", server: str = SERVER) -> Moved:
    """Make the champion before the present one champion again; once more, and the one before it."""
    with Client(server) as client:
        deployed, version, gone = _deploy.rollback(client, model, reason)
    return Moved(version, registry.CHAMPION, deployed, skipped=tuple(gone))


def deploy(*, server: str = SERVER) -> Deployed:
    """Write served/ from the registry; a running server answers with it afterwards."""
    with Client(server) as client:
        return _deploy.deploy(client)


def status(*, server: str = SERVER) -> list[Line]:
    """Registry, files and server side by side, with the command that mends a difference."""
    with Client(server) as client:
        return _status.compare(client)


def history(model: str) -> list[Change]:
    """Who promoted which version when and why, the first change first."""
    found = registry.history(model)
    if not found:
        registry.get(model, 1)  # says so where there is no such model
    return found


def champion_at(model: str, when: datetime) -> int | None:
    """The version that was champion at a time (local, if it has no zone); None: not known."""
    text = when.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return changes.champion_at(history(model), text)


def sign(model: str, version: int, private_key: Path) -> None:
    """Sign a version with a PEM key of one's own; see `registry.public_key` of params.yaml."""
    _signing.sign(registry.get(model, version), private_key)


def verify(model: str, version: int) -> Verified:
    """Train a version again in a temporary clone, and say whether the same comes out."""
    return _verify.verify(registry.get(model, version), params.load())


def enroll(
    name: str, pictures: Path, version: int | None = None
) -> tuple[RegisteredVersion, list[str]]:
    """A version of the recogniser that also knows `name`, registered as challenger.

    pictures: a folder. version: the one to start from (default: the champion). Also returns a line
    for each file that could not be used.
    """
    from promotion import enroll as enrolling  # scikit-learn and OpenCV take seconds

    return enrolling.enroll(name, pictures, _recogniser(version), params.load())


def forget(name: str, version: int | None = None) -> RegisteredVersion:
    """A version of the recogniser without `name`, registered as challenger."""
    from promotion import enroll as enrolling

    return enrolling.forget(name, _recogniser(version))


def replay(
    model: str, log: Path, version: int, *, keep: Path = DISAGREEMENTS, server: str = SERVER
) -> Comparison:
    """Ask a version all that a request log says other versions were asked.

    log: a file, or the prefix of several. keep: where pictures go on which answers differ, a folder
    a model.
    """
    asked = [one for one in traffic.in_log(log, model) if one.answer.version != version]
    if not asked:
        raise UserError(
            f"{log} has no picture that another version of {model} was asked: a server writes it "
            "with logging_config, or while `celflow shadow` runs"
        )
    with Client(server) as client:
        return _replay.replay(client, model, version, asked, keep)


def shadow(
    model: str, to: str | int = registry.CHALLENGER, *, requests: int = 0, share: float = 0.1,
    keep: Path = DISAGREEMENTS, server: str = SERVER,
    started: Callable[[], None] = lambda: None,
) -> Comparison:  # fmt: skip
    """Mirror what users ask of the champion to another version; they see nothing of it.

    to: an alias or a version's number. requests: end after so many pictures (0: at Ctrl-C). share:
    of the requests. keep: as in `replay`. started: is called once it listens.
    """
    version = to if isinstance(to, int) else LABELS.get(to, to)
    comparison = Comparison()
    with Client(server) as client, _shadow.request_log(client, model, share) as log:
        started()
        try:
            _shadow.mirror(client, model, version, log, comparison, _after(requests), keep)
        except KeyboardInterrupt:
            print()
    return comparison


def guard(
    model: str, *, requests: int = 0, share: float = 1.0, server: str = SERVER,
    started: Callable[[RegisteredVersion], None] = lambda before: None,
) -> tuple[RegisteredVersion, str] | None:  # fmt: skip
    """Watch the champion, and roll back where its answers break down.

    requests, share: as in `shadow`. started: is told the version that it is compared with. Returns
    that version and why it is champion again; None: nothing broke down until the end.
    """
    before, _ = _deploy.before_champion(model)
    champion = registry.aliases_of(model).get(registry.CHAMPION)
    with Client(server) as client:
        with _shadow.request_log(client, model, share) as log:
            started(before)
            try:
                why = _shadow.watch(client, model, before.version, log, _after(requests))
            except KeyboardInterrupt:
                return None
        if why is None:
            return None
        reason = f"celflow guard: {why}"
        _, before, _ = until_available(
            lambda: _deploy.rollback(client, model, reason, watched=champion)
        )
    return before, why


def _move(
    version: RegisteredVersion, alias: str, server: str, verdict: Verdict | None = None, **why: Any
) -> Moved:
    with Client(server) as client:
        return Moved(version, alias, _deploy.promote(client, version, alias, **why), verdict)


def _recogniser(version: int | None) -> RegisteredVersion:
    if version is not None:
        return registry.get(RECOGNISER, version)
    champion = registry.with_alias(RECOGNISER, registry.CHAMPION)
    if champion is None:
        raise UserError(f"the registry has no champion of {RECOGNISER}: run `dvc repro`")
    return champion


def _after(requests: int) -> Callable[[int], bool]:
    return lambda asked: bool(requests) and asked >= requests
