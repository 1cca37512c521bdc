"""params.yaml, typed: a wrong key, type or range is refused by name.

The settings of a model stand beside its code; `Params.model_config_of` checks its section of
`train` by the class that the model brings.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from celflow.errors import UserError

PARAMS_FILE = Path("params.yaml")
COPIES = Path(".cache/raw")  # of raw folders in object stores

LEAST_SHARE = 0.05  # of the pictures that a test or validation split has, where there is one

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
UserPath = Annotated[str, Field(min_length=1), AfterValidator(os.path.expanduser)]  # `~`: home
Weight = Annotated[float, Field(ge=0)]
Dataset = Literal["cartoon_or_photo", "characters"]
DATASETS: tuple[Dataset, ...] = get_args(Dataset)
Task = Literal["cartoon_or_photo", "characters", "faces", "sketch", "cartoonize"]
CLASSIFICATION_TASKS: tuple[Task, ...] = ("cartoon_or_photo", "characters")


class Section(BaseModel):
    """A section of params.yaml: every key must be there, and no other."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


SectionType = TypeVar("SectionType", bound=Section)


class Workers(Section):
    """Who works on many files at once: a backend of joblib, and the address of its cluster."""

    backend: Literal["loky", "threading", "dask", "ray"]
    cluster: str | None = None

    @model_validator(mode="after")
    def _has_a_cluster(self) -> "Workers":
        if self.cluster and self.backend not in ("dask", "ray"):
            raise ValueError("cluster needs data.backend: dask or ray")
        return self


class DataConfig(Workers):
    """Where the raw pictures are, null where there are none; and who works on them."""

    cartoon_or_photo: UserPath | None
    characters: UserPath | None

    def address(self, dataset: Dataset) -> str | None:
        """Where the raw folder of a dataset is in an object store, if it is in one: `s3://...`."""
        folder = getattr(self, dataset)
        return folder if folder is not None and "://" in folder else None

    def folder(self, dataset: Dataset) -> Path | None:
        """The raw folder of a dataset, or the copy that `raw` makes of it; None: it has none."""
        folder = getattr(self, dataset)
        if self.address(dataset):
            return COPIES / dataset
        return None if folder is None else Path(folder)

    def missing(self, dataset: Dataset) -> str | None:
        """Why there are no pictures of a dataset, in a line; None where its folder is there."""
        folder = self.folder(dataset)
        if folder is None:
            return f"data.{dataset} in params.yaml is null"
        if address := self.address(dataset):
            return None if folder.is_dir() else f"no copy of {address} yet: run `dvc repro raw`"
        return None if folder.is_dir() else f"no folder {folder}: see data.{dataset} in params.yaml"


class SampleConfig(Section):
    """Size of the built-in sample."""

    characters: Annotated[int, Field(ge=2, le=12)]
    illustrations: Annotated[int, Field(ge=3)]
    drawings: Positive
    photos: Positive
    seed: Annotated[int, Field(ge=0)]


class CleanConfig(Section):
    """What a raw picture must be, and what is done to it."""

    policy: Literal["repair", "jfif"]
    min_side: Positive
    max_side: Annotated[int, Field(ge=64)]


class FacecropConfig(Section):
    """How faces are found."""

    detector: Literal["auto", "classic", "none"]
    cascade: UserPath | None
    on_miss: Literal["drop", "keep"]
    detect_side: Annotated[int, Field(ge=64)]
    min_face: Positive


class SplitConfig(Section):
    """How pictures are assigned to train, val and test."""

    test: Annotated[float, Field(ge=0, le=0.5)]
    val: Annotated[float, Field(ge=0, le=0.5)]
    max_hamming_distance: Annotated[int, Field(ge=0, le=16)]
    source: str
    test_sources: str | None
    held_out_classes: list[str]

    @field_validator("test", "val")
    @classmethod
    def _is_none_or_enough(cls, share: float) -> float:
        if 0 < share < LEAST_SHARE:
            raise ValueError(f"must be 0 (none) or {LEAST_SHARE} to 0.5")
        return share

    @field_validator("source", "test_sources")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return pattern

    @field_validator("source")
    @classmethod
    def _has_a_group(cls, pattern: str) -> str:
        if pattern and re.compile(pattern).groups < 1:
            raise ValueError("needs a (group) that holds the source's name")
        return pattern


class ModelConfig(Section):
    """A line of the table of models; `code` is the folder of the model's code."""

    task: Task
    dataset: Dataset
    code: str


class UnsureConfig(Section):
    """When a model of two classes says that it is unsure."""

    max_error: Annotated[float, Field(gt=0, lt=0.5)]
    max_share: Annotated[float, Field(ge=0, le=0.9)]


class EvaluateConfig(Section):
    """What the reports show, and when an answer is no answer."""

    mistakes: Positive
    unsure: UnsureConfig


class GateConfig(Section):
    """The metric that counts, a task a line; larger is better."""

    cartoon_or_photo: Literal["accuracy", "balanced_accuracy"]
    characters: Literal["accuracy", "balanced_accuracy"]
    faces: Literal["f1", "recall"]
    sketch: Literal["psnr", "ssim", "edge_f1"]
    cartoonize: Literal["cartoon_score", "style_gain"]


class RegistryConfig(Section):
    """The gate between challenger and champion, and whose signature a version needs."""

    gate: GateConfig
    margin: Share
    max_recall_loss: Share
    max_latency: Annotated[float, Field(ge=1)]
    max_size: Annotated[float, Field(ge=1)]
    public_key: UserPath | None


class Params(Section):
    """The whole of params.yaml; a section of `train` is checked by the model that it belongs to."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    data: DataConfig
    sample: SampleConfig
    clean: CleanConfig
    facecrop: FacecropConfig
    split: SplitConfig
    models: dict[str, ModelConfig]
    train: dict[str, dict[str, Any]]
    evaluate: EvaluateConfig
    registry: RegistryConfig

    @model_validator(mode="after")
    def _every_model_has_a_section(self) -> "Params":
        for name in self.models:
            if name not in self.train:
                raise ValueError(f"'train.{name}' is missing")
        return self

    def task(self, model: str) -> Task:
        """The task of a model. Raises UserError for a name that is not in the table of models."""
        return self.model(model).task

    def dataset(self, model: str) -> Dataset:
        """Which dataset a model learns from. Raises UserError as `task`."""
        return self.model(model).dataset

    def model(self, name: str) -> ModelConfig:
        """A model's line of the table. Raises UserError as `task`."""
        if name not in self.models:
            raise UserError(f"no model '{name}': params.yaml has {', '.join(self.models)}")
        return self.models[name]

    def model_config_of(self, model: str, config_class: type[SectionType]) -> SectionType:
        """A model's section of `train`, checked by the class of its settings.

        Raises:
            UserError: a key or value is wrong; one line names each.
        """
        return _checked(config_class, self.train[model], PARAMS_FILE, f"train.{model}.")


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
    return _checked(Params, content, path)


def _checked(
    section: type[SectionType], content: Mapping[str, Any], path: Path, prefix: str = ""
) -> SectionType:
    try:
        return section.model_validate(content)
    except ValidationError as error:
        faults = [_one_line(prefix + key, fault) for key, fault in _by_key(error.errors()).items()]
        raise UserError(f"{path}: {'; '.join(faults[:5])}") from None


_UNION_MEMBER = re.compile(r"\w+\[|constrained-|function-")  # pydantic's names for a value's types


def _by_key(faults: list[ErrorDetails]) -> dict[str, ErrorDetails]:
    """Key as the file has it to its first fault; a value that may be of two types has several."""
    found: dict[str, ErrorDetails] = {}
    for fault in faults:
        parts = [part for part in fault["loc"] if not _UNION_MEMBER.match(str(part))]
        found.setdefault(".".join(map(str, parts)) or "the file", fault)
    return found


def _one_line(key: str, fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{key}'"
    if fault["type"] == "missing":
        return f"'{key}' is missing"
    if key == "the file" and fault["type"] == "value_error":
        return fault["msg"].removeprefix("Value error, ")
    hint = ""
    if isinstance(fault["input"], str) and re.fullmatch(r"[+-]?\d+e[+-]?\d+", fault["input"], re.I):
        hint = " (YAML takes this for a word: write 1.0e-3, not 1e-3)"
    return f"'{key}' = {fault['input']!r}: {fault['msg'].lower()}{hint}"
