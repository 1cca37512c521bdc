"""Settings of the face detector."""

from typing import Annotated

from pydantic import Field

from celflow.params import Section, UserPath


class FaceDetectorConfig(Section):
    """What it starts from, how closely it looks, and how sure it must be."""

    init: UserPath
    short_side: Annotated[int, Field(ge=128, le=1024, multiple_of=64)]
    threshold: Annotated[float, Field(gt=0, lt=1)]
