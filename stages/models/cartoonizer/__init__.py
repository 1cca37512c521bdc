"""White-box cartoonization: a photo becomes a drawing."""

from stages.models.cartoonizer.cartoonizer import Cartoonizer

MODELS = {"cartoonizer": Cartoonizer}
