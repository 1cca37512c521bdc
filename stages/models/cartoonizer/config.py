"""Settings of the cartoonizer."""

from typing import Annotated, Literal

from pydantic import Field

from celflow.params import Positive, Section, UserPath, Weight


class LossWeights(Section):
    """How much each loss counts."""

    surface: Weight
    texture: Weight
    structure: Weight
    content: Weight
    colour: Weight
    variation: Weight
    style: Weight


class CartoonizerConfig(Section):
    """Settings of white-box cartoonization."""

    init: UserPath
    features: UserPath
    superpixels: Literal["felzenszwalb", "slic"]
    image_size: Annotated[int, Field(ge=96, le=256, multiple_of=4)]  # Inception-v3 sees 7/8
    channels: Annotated[int, Field(ge=8, le=64, multiple_of=8)]
    blocks: Annotated[int, Field(ge=1, le=8)]
    discriminator_channels: Annotated[int, Field(ge=4, le=64)]
    steps: Annotated[int, Field(ge=0)]
    pretrain: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    log_every: Positive
    weights: LossWeights
