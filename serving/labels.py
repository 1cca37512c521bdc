"""An alias of the registry and the version label that stands for it on the model server."""

LABELS = {"champion": "stable", "challenger": "canary"}
