"""Which worker of a training cluster this process is."""

import json
import os

CLUSTER_VARIABLE = "TF_CONFIG"  # TensorFlow's own: the workers' addresses, and which one this is


def is_chief() -> bool:
    """Whether this process writes what is trained; the other workers of a cluster don't."""
    task = json.loads(os.environ.get(CLUSTER_VARIABLE) or "{}").get("task", {})
    return bool(task.get("type", "chief") == "chief" or task.get("index", 0) == 0)
