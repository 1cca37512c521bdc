"""Alias in the model registry to version label on the model server."""

LABELS = {"champion": "stable", "challenger": "canary"}
