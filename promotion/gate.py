"""The gate before promotion: champion and candidate answer the same test pictures.

They do so in a model server of its own process, which is the path that users take: what does not
load, warm up or answer there is not moved anywhere. The result becomes an artifact of the version.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from celflow import lineage, manifest, registry, tracking
from celflow.errors import UserError
from celflow.params import CLASSIFICATION_TASKS, Params
from promotion import answers, paired, trial
from promotion.served_folder import materialize
from promotion.transition import LOCK
from serving.client import Client

LEAST_MS = 5.0  # by which an answer may always take longer: less is noise


@dataclass(frozen=True)
class Verdict:
    """Whether a version may become champion, and why.

    answer: of the paired test; see `paired.Comparison`. reason: all of it in a line. refused: what
    speaks against it beside that answer. figures: the numbers, as JSON has them. disagree: the
    test pictures on which the two disagree, each with its path, truth and both answers.
    """

    passed: bool
    answer: str
    reason: str
    refused: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    disagree: list[dict[str, str]] = field(default_factory=list)


def compare(
    champion: registry.RegisteredVersion | None,
    candidate: registry.RegisteredVersion,
    params: Params,
    margin: float | None = None,
) -> Verdict:
    """Try a candidate, and compare it with the champion by the task's metric.

    margin: instead of the one of params.yaml. A first champion has only to answer.

    Raises:
        UserError: the candidate does not load or answer.
    """
    if champion is not None and champion.version == candidate.version:
        return Verdict(True, "the same", "it is the champion")
    pair = [one for one in (champion, candidate) if one is not None]
    with trial.starting() as server:
        with tracking.hold(LOCK):
            for version in pair:
                materialize(version)
        numbers = [version.version for version in pair]
        with server.loaded(candidate.model, numbers) as client:
            if champion is None:
                answers.warm_up(client, candidate)
                return Verdict(True, "first", "there is no champion; it loads and answers")
            for version in pair:
                answers.warm_up(client, version)
            verdict = _compare(client, champion, candidate, params, margin)
    return verdict


def record(candidate: registry.RegisteredVersion, verdict: Verdict, forced: bool) -> None:
    """Keep the result with the version: a tag, and gate.json in its run."""
    outcome = "forced" if forced else "passed" if verdict.passed else "failed"
    registry.set_tag(candidate, "gate", f"{outcome}: {verdict.reason}")
    if candidate.run_id and verdict.figures:
        content = {**asdict(verdict), "forced": forced}
        with tracking.one_line_errors():
            against = verdict.figures["champion"]
            name = f"gate/version_{candidate.version}_against_{against}.json"
            tracking.connect().log_dict(candidate.run_id, content, name)


def _compare(
    client: Client, champion: registry.RegisteredVersion, candidate: registry.RegisteredVersion,
    params: Params, margin: float | None,
) -> Verdict:  # fmt: skip
    settings = params.registry
    margin = settings.margin if margin is None else margin
    metric = getattr(settings.gate, params.task(candidate.model))
    dataset = params.dataset(candidate.model)
    refused = _signatures(client, champion, candidate)
    figures: dict[str, Any] = {
        "model": candidate.model, "champion": champion.version, "candidate": candidate.version,
        "metric": metric, "margin": margin,
    }  # fmt: skip
    try:
        splits = manifest.read(dataset)
        if not len(splits["test"]):
            raise UserError(f"{dataset} has no test pictures (split.test in params.yaml)")
    except UserError as error:
        reason = "; ".join([f"no {metric} to compare by: {error}", *refused])
        return Verdict(False, paired.UNKNOWN, reason, refused, figures)
    if refused:
        return Verdict(False, paired.WORSE, "; ".join(refused), refused, figures)
    figures["test_hash"] = lineage.test_hash(dataset)
    versions = (champion, candidate)
    disagree: list[dict[str, str]] = []
    if params.task(candidate.model) in CLASSIFICATION_TASKS:
        test = splits["test"]
        old, new = answers.of_classifier(client, versions, test)
        balanced = metric == "balanced_accuracy"
        found = paired.of_answers(test.truth, old.best, new.best, balanced, margin)
        values, times = (
            [one.figure(metric) for one in (old, new)],
            (old.milliseconds, new.milliseconds),
        )
        for label, lost in paired.lost_recall(test.truth, old.best, new.best).items():
            if lost > settings.max_recall_loss:
                refused.append(f"it recognises {lost:.0%} less of {test.labels[label]}")
        disagree = answers.disagreement(test, old, new)
    else:
        was, now = answers.of_others(client, versions, metric, splits, params)
        found = paired.of_groups(was.value, now.value, was.without, now.without, margin)
        values, times = [was.value, now.value], (was.milliseconds, now.milliseconds)
    figures |= asdict(found) | {"champion_has": values[0], "candidate_has": values[1]}
    refused += _costs(figures, times, versions, params)
    reason = (
        f"{found.answer} ({metric} {values[1]:.4f}, champion {champion.version} has "
        f"{values[0]:.4f}; difference {found.low:+.3f} to {found.high:+.3f}, margin {margin:g}; "
        f"{found.test}; test set {figures['test_hash'][:8]})"
    )
    passed = found.answer in (paired.BETTER, paired.NO_WORSE) and not refused
    return Verdict(passed, found.answer, "; ".join([reason, *refused]), refused, figures, disagree)


def _signatures(
    client: Client, champion: registry.RegisteredVersion, candidate: registry.RegisteredVersion
) -> list[str]:
    """What clients of the champion would miss."""
    old, new = (client.metadata(one.model, one.version) for one in (champion, candidate))
    missing = []
    for name, signature in old.items():
        if name not in new:
            missing.append(f"it has no signature {name}")
            continue
        for kind in ("inputs", "outputs"):
            before: Mapping[str, Any] = getattr(signature, kind)
            after: Mapping[str, Any] = getattr(new[name], kind)
            missing += [
                f"{name} has no {tensor} of type {info.dtype} in its {kind}"
                for tensor, info in before.items()
                if tensor not in after
                or after[tensor].dtype != info.dtype
                or (
                    info.shape
                    and after[tensor].shape
                    and len(after[tensor].shape) != len(info.shape)
                )
            ]
        missing += [
            f"{name} asks for {tensor}, which the champion's does not"
            for tensor in new[name].inputs
            if tensor not in signature.inputs
        ]
    return missing


def _costs(
    figures: dict[str, Any],
    milliseconds: tuple[float, float],
    versions: tuple[registry.RegisteredVersion, registry.RegisteredVersion],
    params: Params,
) -> list[str]:
    refused = []
    settings = params.registry
    old, new = milliseconds
    figures |= {"champion_ms": old, "candidate_ms": new}
    if new > settings.max_latency * old and new - old > LEAST_MS:
        refused.append(f"it takes {new:.0f} ms for an answer, the champion {old:.0f}")
    sizes = [
        sum(file.stat().st_size for file in materialize(version).rglob("*") if file.is_file())
        for version in versions
    ]
    figures |= {"champion_bytes": sizes[0], "candidate_bytes": sizes[1]}
    if sizes[1] > settings.max_size * sizes[0]:
        mb = [size / 1e6 for size in sizes]
        refused.append(f"it has {mb[1]:.1f} MB, the champion {mb[0]:.1f}")
    return refused
