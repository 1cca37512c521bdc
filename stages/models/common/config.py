"""Settings that networks have in common."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

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


class ComputeConfig(Section):
    """What a network is trained on, and how exactly it computes; see docs/scale.md."""

    strategy: Literal["none", "mirrored", "multiworker"] = "none"
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    jit_compile: bool = False  # XLA compiles for longer than a small network trains


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
    compute: ComputeConfig = ComputeConfig()

    @model_validator(mode="after")
    def _can_be_distributed(self) -> "NetworkConfig":
        if self.compute.strategy != "none":
            if self.trainer != "fast_loop":
                raise ValueError(f"strategy {self.compute.strategy} needs trainer: fast_loop")
            if self.compute.jit_compile:
                raise ValueError("jit_compile needs strategy: none")
        return self
