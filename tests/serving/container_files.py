"""The files for containers and their schemas, as the tests read them."""

import json
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import text_format
from jsonschema import Draft202012Validator

from serving import config_protos

from .model_server import ROOT

SERVING = ROOT / "serving"

K8S = SERVING / "k8s"

SCHEMAS = Path(__file__).parent / "schemas"

COMPOSE = yaml.safe_load((SERVING / "compose.yaml").read_text())


def schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def check(thing: Any, rules: dict[str, Any]) -> None:
    problems = [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(rules).iter_errors(thing)
    ]
    assert not problems, "\n".join(problems)


def check_object(thing: Any) -> None:
    """Against the definition of its kind."""
    definitions = schema("kubernetes")["$defs"]
    assert thing["kind"] in definitions
    check(thing, {"$ref": f"#/$defs/{thing['kind']}", "$defs": definitions})


CONFIGS = {
    "monitoring": config_protos.MonitoringConfig,
    "batching": config_protos.BatchingParameters,
}


def parse(name: str) -> Any:
    text = (SERVING / f"config/{name}.config").read_text()
    return text_format.Parse(text, CONFIGS[name]())
