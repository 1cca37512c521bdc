"""Registry, files and running server side by side."""

import json
from dataclasses import dataclass
from pathlib import Path

from celflow import registry
from celflow.errors import UserError
from promotion import serving_config, transition
from promotion.deploy import answering
from serving.client import Client, ServerDown
from serving.labels import LABELS

EXPORTS = Path("exports")


@dataclass(frozen=True)
class Line:
    """One model.

    registered, configured, answering: version by alias, as the registry, served/models.config and
    the running server have it (None: no server runs).
    mend: the command that mends a difference, and why; empty where there is none.
    """

    model: str
    registered: dict[str, int]
    configured: dict[str, int]
    answering: dict[str, int] | None
    mend: str = ""
    why: str = ""


def compare(client: Client) -> list[Line]:
    """A line for each model that any of them knows, or that exports/ holds."""
    registered, unfinished = registry.aliases(), transition.unfinished()
    configured = serving_config.labelled(serving_config.read())
    contents = {v.tags[registry.CONTENT] for v in registry.listed()}
    up = client.healthy()
    lines = []
    for model in sorted({*registered, *configured, *_exports()}):
        listed = {a: n for a, n in registered.get(model, {}).items() if a in LABELS}
        files = configured.get(model, {})
        answers = _answers(client, model, {*listed, *files}) if up else None
        mend, why = "", ""
        if model in _exports() and _exports()[model] not in contents:
            mend, why = "celflow register", f"exports/{model} is not registered"
        elif model in unfinished or _half_done(model):
            mend, why = "celflow deploy", "a change was interrupted"
        elif model in registered and registry.CHAMPION not in listed:
            newest = max(v.version for v in registry.listed(model))
            mend, why = f"celflow promote {model} {newest} --force", "it has no champion"
        elif files != listed:
            mend, why = "celflow deploy", "served/ is not as the registry says"
        elif answers is not None and answers != listed:
            mend, why = "celflow deploy", "the server is not as the registry says"
        lines.append(Line(model, listed, files, answers, mend, why))
    return lines


def _half_done(model: str) -> bool:
    history = registry.history(model)
    return bool(history) and not history[-1].done


def _exports() -> dict[str, str]:
    """The digest of each exported model."""
    cards = {path.parent.name: path for path in EXPORTS.glob("*/card.json")}
    return {name: json.loads(path.read_text())["content"] for name, path in cards.items()}


def _answers(client: Client, model: str, aliases: set[str]) -> dict[str, int]:
    found = {}
    for alias in sorted(aliases):
        try:
            found[alias] = answering(client, model, LABELS[alias])
        except ServerDown:
            raise
        except UserError:
            continue  # it does not answer under this label
    return found
