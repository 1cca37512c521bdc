"""Cartoon or photo at a tenth of the large network's cost, from weights of the project's own."""

from stages.models.photo_compact.photo_compact import PhotoCompact

MODELS = {"photo_compact": PhotoCompact}
