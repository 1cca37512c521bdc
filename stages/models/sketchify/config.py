"""Settings of sketchify."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from celflow.params import Positive, Section, UserPath, Weight


class SketchifyConfig(Section):
    """Settings of the U-Net and its training."""

    init: UserPath
    image_size: Annotated[int, Field(ge=32, le=512, multiple_of=16)]
    width: Annotated[int, Field(ge=2, le=64)]
    epochs: Annotated[int, Field(ge=0)]
    patience: Positive | None
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    patch: Annotated[int, Field(ge=16, le=512, multiple_of=16)]
    psnr_weight: Weight
    edge_weight: Weight
    ssim_weight: Weight

    @field_validator("patch")
    @classmethod
    def _fits_into_the_picture(cls, patch: int, info: ValidationInfo) -> int:
        if patch > info.data.get("image_size", patch):
            raise ValueError(f"is larger than image_size, {info.data['image_size']}")
        return patch
