"""Three handcrafted features, each with a threshold: cartoon or photo."""

from stages.models.threshold_classifiers.colours import Colours
from stages.models.threshold_classifiers.edges import Edges
from stages.models.threshold_classifiers.gradient import Gradient

MODELS = {"colours": Colours, "gradient": Gradient, "edges": Edges}
