"""Mini-Xception: cartoon or photo."""

from stages.models.xception.xception import Xception

MODELS = {"xception": Xception}
