"""A U-Net that turns drawings into pencil sketches."""

from stages.models.sketchify.sketchify import Sketchify

MODELS = {"sketchify": Sketchify}
