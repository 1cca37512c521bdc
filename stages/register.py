"""Make one exported model a version in the MLflow registry: `python -m stages.register MODEL`.

Reads exports/<model>/, models/<model>/fit.json and metrics/<model>.json. Writes
registered/<model>.json, and the figures as the version's description. The same content gives the
same version. The first of a name becomes champion, later ones challenger.
"""

import json
import sys
from pathlib import Path
from typing import Any

from celflow import errors, lineage, registry
from celflow.files import write_json
from celflow.params import Params, load
from stages import no_pictures

SHOWN = 20  # labels named in a version's description


def run(name: str, params: Params) -> None:
    """Register the model `name`."""
    written = Path(f"registered/{name}.json")
    if no_pictures.skips(name, params, written):
        return
    folder = Path("exports") / name
    card = json.loads((folder / "card.json").read_text())
    fit = json.loads((Path("models") / name / "fit.json").read_text())
    tags = {
        "task": card["task"],
        "labels": json.dumps(card["labels"]),
        "gate": "not compared yet",
        **lineage.tags(name, params),
    }
    with registry.run_of_fit(name, fit["fit_key"]) as active:
        run_id = active.info.run_id
    told = description(card, tags, json.loads(_metrics(name).read_text()))
    version, new = registry.register(
        name, run_id, folder / "saved_model", card["content"], tags, told
    )
    write_json(
        written,
        {"model": name, "version": version.version, "content": card["content"]},
    )
    words = ", ".join(version.aliases) or "no alias"
    print(f"{name}: version {version.version} ({'new' if new else 'known'}; {words})")


def description(card: dict[str, Any], tags: dict[str, str], metrics: dict[str, Any]) -> str:
    """A version's card in Markdown, from its real figures: MLflow shows it on the version's page.

    card: of exports/<model>/. tags: of the version. metrics: of metrics/<model>.json.
    """
    name, labels = card["model"], card["labels"]
    rows = [
        f"| {key} | {value} |" for key, value in metrics.items() if isinstance(value, int | float)
    ]
    named = ", ".join(labels[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")
    told = f" It knows {len(labels)} classes: {named}." if labels else ""
    return "\n".join(
        [
            f"**{name}**: {card['task'].replace('_', ' ')}.{told}",
            "",
            "| on the test pictures | |",
            "|---|---|",
            *rows,
            "",
            f"Commit {tags['git_commit'][:12]}, data {tags['data_hash'][:12]}, "
            f"test pictures {tags['test_hash'][:12]}.",
            "",
            f"`celflow predict {name} PICTURE`, or "
            f'`mlflow.pyfunc.load_model("models:/{name}@champion")`.',
        ]
    )


def _metrics(name: str) -> Path:
    return Path(f"metrics/{name}.json")


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
