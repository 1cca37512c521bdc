"""A SavedModel from outside as a version in the registry, once it was looked over."""

import json
from pathlib import Path
from typing import get_args

from celflow import lineage, registry
from celflow.errors import UserError
from celflow.params import Task
from serving.scan import scan
from stages.models.common.saved_model import digest

SIGNATURE, INPUT = "serving_default", "image_bytes"
_DT_STRING = 7
_ANSWERS = (("scores", "classes"), ("image", "image_png"))  # of classifiers, of picture models


def import_model(
    folder: Path, name: str, task: str, trust: bool = False
) -> tuple[registry.RegisteredVersion, bool]:
    """Register a SavedModel; returns the version, and whether it is new.

    folder: that of saved_model.pb. task: one of params.yaml. trust: whether to take a model that
    does what `scan` refuses.

    Raises:
        UserError: no such task, or the folder is no SavedModel, could do more than answer, or does
            not take pictures as our clients send them.
    """
    if task not in get_args(Task):
        raise UserError(f"no task '{task}': there are {', '.join(get_args(Task))}")
    if not trust:
        try:
            scan.check(folder)
        except UserError as error:
            raise UserError(f"{error}. If you trust who made it, say --trust") from error
    _check_signature(folder)
    content = digest(folder)
    with registry.lock():
        registry.finish(name)  # what a killed import left
    known = registry.with_content(name, content)
    if known is not None:
        return known, False
    tags = {
        "task": task,
        "labels": json.dumps([]),
        "gate": "not compared yet",
        "git_commit": lineage.git_commit(),
        "imported": str(folder),
        "trusted": str(trust).lower(),
    }
    with registry.run(name) as active:
        run_id = active.info.run_id
    return registry.register(name, run_id, folder, content, tags)


def _check_signature(folder: Path) -> None:
    signatures = scan.read(folder).meta_graphs[0].signature_def
    found = signatures.get(SIGNATURE)
    takes = found is not None and INPUT in found.inputs and found.inputs[INPUT].dtype == _DT_STRING
    if found is None or not takes:
        raise UserError(
            f"the {SIGNATURE} of {folder} does not take {INPUT} (string, encoded pictures): "
            "`mlflow deployments create -t tfserving` serves models of any signature"
        )
    if not any(set(names) <= set(found.outputs) for names in _ANSWERS):
        either = " or ".join(" and ".join(names) for names in _ANSWERS)
        raise UserError(f"the {SIGNATURE} of {folder} has to answer {either}")
