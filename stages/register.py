"""Make one exported model a version in the MLflow registry: `python -m stages.register MODEL`.

Reads exports/<model>/, models/<model>/fit.json and metrics/<model>.json. Writes
registered/<model>.json. The same content gives the same version. The first of a name becomes
champion, later ones challenger.
"""

import json
import sys
from pathlib import Path

from celflow import errors, lineage, registry
from celflow.files import write_json
from celflow.params import Params, load
from stages import no_pictures


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
    version, new = registry.register(name, run_id, folder / "saved_model", card["content"], tags)
    write_json(
        written,
        {"model": name, "version": version.version, "content": card["content"]},
    )
    words = ", ".join(version.aliases) or "no alias"
    print(f"{name}: version {version.version} ({'new' if new else 'known'}; {words})")


if __name__ == "__main__":
    errors.run(lambda: run(sys.argv[1], load()))
