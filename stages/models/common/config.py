"""Settings that networks have in common."""

from typing import Annotated, Literal

from pydantic import Field

from celflow.params import Positive, Section, Share


class AugmentConfig(Section):
    """How training pictures are varied at random; what is not named is left alone."""

    flip: bool = False
    rotation: Share = 0.0
    scale: Share = 0.0
    shift: Share = 0.0
    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    grey: Share = 0.0
    blur: Share = 0.0
    jpeg: Share = 0.0
    erase: Share = 0.0


class NetworkConfig(Section):
    """What all networks that classify have in common."""

    trainer: Literal["fast_loop", "model_fit"]
    image_size: Annotated[int, Field(ge=32, le=1024)]
    epochs: Positive
    patience: Positive | None
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Share
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    augment: AugmentConfig
