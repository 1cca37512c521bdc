"""Fill a registry from what the pipeline made: a clone after `dvc pull`, another MLflow."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow

from celflow import registry
from celflow.errors import UserError
from celflow.params import Params
from stages import register

MODELS, EXPORTS, METRICS = Path("models"), Path("exports"), Path("metrics")
SPEED = Path("reports/speed")


def register_exports(params: Params) -> list[registry.RegisteredVersion]:
    """Register every model of params.yaml that exports/ holds, its figures included.

    What is registered already stays as it is.

    Raises:
        UserError: exports/ holds no model.
    """
    made = []
    for name in params.models:
        card, fit = EXPORTS / name / "card.json", MODELS / name / "fit.json"
        if not (card.is_file() and fit.is_file()):
            continue
        content = json.loads(card.read_text())["content"]
        if registry.with_content(name, content) is None:
            _log_figures(name, json.loads(fit.read_text())["fit_key"], params)
        register.run(name, params)
        version = registry.with_content(name, content)
        assert version is not None
        made.append(version)
    if not made:
        raise UserError(f"{EXPORTS}/ holds no model: run `dvc pull` or `dvc repro`")
    return made


def _log_figures(name: str, fit_key: str, params: Params) -> None:
    """What training and measuring log, as far as a run that stands in for theirs lacks it."""
    with registry.run_of_fit(name, fit_key) as active:
        if any(key.startswith("test_") for key in active.data.metrics):
            return
        mlflow.log_params({**params.train[name], "seed": params.seed, "task": params.task(name)})
        figures = _single(METRICS / f"{name}.json")
        mlflow.log_metrics({f"test_{key}": value for key, value in figures.items()})
        speed = _single(SPEED / f"{name}.json")
        if speed:
            mlflow.log_metrics(
                {"test_ms_per_image": speed["ms_per_image"], "model_mb": speed["size_bytes"] / 1e6}
            )


def _single(path: Path) -> Mapping[str, float]:
    """The numbers of a JSON file, those within dictionaries left out."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return {key: float(value) for key, value in content.items() if isinstance(value, int | float)}
