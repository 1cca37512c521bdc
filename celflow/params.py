"""params.yaml, typed: a wrong key, type or range is refused by name."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from celflow.errors import UserError

PARAMS_FILE = Path("params.yaml")

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Task = Literal["cartoon_or_photo", "characters"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Data(_Section):
    """Where the raw pictures are."""

    cartoon_or_photo: str
    characters: str
    backend: Literal["loky", "threading", "dask", "ray"]

    def folder(self, task: Task) -> Path:
        """The raw folder of a task."""
        return Path(getattr(self, task))


class Sample(_Section):
    """Size of the built-in sample."""

    characters: Annotated[int, Field(ge=2, le=12)]
    illustrations: Annotated[int, Field(ge=3)]
    drawings: Positive
    photos: Positive
    seed: Annotated[int, Field(ge=0)]


class Clean(_Section):
    """What a raw picture must be, and what is done to it."""

    policy: Literal["repair", "jfif"]
    min_side: Positive
    max_side: Annotated[int, Field(ge=64)]


class Facecrop(_Section):
    """How faces are found."""

    detector: Literal["auto", "none"]
    cascade: str | None
    on_miss: Literal["drop", "keep"]
    detect_side: Annotated[int, Field(ge=64)]
    min_face: Positive


class Split(_Section):
    """How pictures are dealt out to train, val and test."""

    test: Annotated[float, Field(ge=0.05, le=0.5)]
    val: Annotated[float, Field(ge=0.05, le=0.5)]
    near: Annotated[int, Field(ge=0, le=16)]
    source: str

    @field_validator("source")
    @classmethod
    def _has_a_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if pattern and groups < 1:
            raise ValueError("needs a (group) that holds the source's name")
        return pattern


class Model(_Section):
    """A line of the table of models."""

    task: Task


class Colours(_Section):
    """Knobs of the colour count."""

    colours: Positive
    side: Positive
    threshold: Literal["tuned", "published"] | Share


class _Network(_Section):
    image_size: Annotated[int, Field(ge=32, le=1024)]
    epochs: Positive
    patience: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    dropout: Share
    flip: bool


class Xception(_Network):
    """Knobs of the mini-Xception."""

    width: Annotated[float, Field(gt=0, le=2)]
    batch_norm_momentum: Annotated[float, Field(gt=0, lt=1)]
    rotation: Share


class CharacterCnn(_Network):
    """Knobs of the small character network."""

    shift: Share
    zoom: Share
    brightness: Share


class Train(_Section):
    """A section a model."""

    colours: Colours
    xception: Xception
    character_cnn: CharacterCnn


class Evaluate(_Section):
    """What the reports show."""

    mistakes: Positive


class Registry(_Section):
    """The gate between challenger and champion."""

    gate: Literal["accuracy", "balanced_accuracy"]
    tolerance: Share


class Params(_Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    data: Data
    sample: Sample
    clean: Clean
    facecrop: Facecrop
    split: Split
    models: dict[str, Model]
    train: Train
    evaluate: Evaluate
    registry: Registry

    def task(self, model: str) -> Task:
        """The task of a model. Raises UserError for a name that is not in the table of models."""
        if model not in self.models:
            raise UserError(f"no model '{model}': params.yaml has {', '.join(self.models)}")
        return self.models[model].task


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing, is no YAML, or a key or value is wrong; one line names each.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no {path} here: run from the project's folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(_one_line(fault) for fault in error.errors()[:5])
        raise UserError(f"{path}: {faults}") from None


def _one_line(fault: ErrorDetails) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{key}'"
    if fault["type"] == "missing":
        return f"'{key}' is missing"
    return f"'{key}' = {fault['input']!r}: {fault['msg'].lower()}"
