"""params.yaml, typed: a wrong key, type or range is refused by name."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from celflow.errors import UserError

PARAMS_FILE = Path("params.yaml")

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Kind = Literal["cartoon_or_photo", "characters"]
Task = Literal["cartoon_or_photo", "characters", "sketch", "cartoonize"]
CLASSIFY: tuple[Task, ...] = ("cartoon_or_photo", "characters")  # the others make pictures
Tap = Literal[
    "mixed0", "mixed1", "mixed2", "mixed3", "mixed4", "mixed5",
    "mixed6", "mixed7", "mixed8", "mixed9", "mixed10",
]  # fmt: skip


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Data(_Section):
    """Where the raw pictures are."""

    cartoon_or_photo: str
    characters: str
    backend: Literal["loky", "threading", "dask", "ray"]

    def folder(self, kind: Kind) -> Path:
        """The raw folder of a kind of pictures."""
        return Path(getattr(self, kind))


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
    test_sources: str | None
    hold_back: list[str]

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


class Model(_Section):
    """A line of the table of models."""

    task: Task
    pictures: Kind


class Colours(_Section):
    """Knobs of the colour count."""

    colours: Positive
    side: Positive
    threshold: Literal["tuned", "published"] | Share


class Gradient(_Section):
    """Knobs of the gradient measure."""

    side: Annotated[int, Field(ge=64, le=4096, multiple_of=64)]
    diameter: Annotated[int, Field(ge=2, le=16)]
    sigma: Annotated[float, Field(gt=0)]
    threshold: Literal["tuned", "published"] | Share


class Edges(_Section):
    """Knobs of the edge difference."""

    block: Annotated[int, Field(ge=3, le=31)]
    c: Annotated[int, Field(ge=0, le=255)]
    threshold: Literal["tuned", "published"] | Annotated[float, Field(ge=0)]

    @field_validator("block")
    @classmethod
    def _has_a_middle(cls, block: int) -> int:
        if block % 2 == 0:
            raise ValueError("must be odd")
        return block


class Augment(_Section):
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


class Network(_Section):
    """What all networks have in common."""

    image_size: Annotated[int, Field(ge=32, le=1024)]
    epochs: Positive
    patience: Positive | None
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Share
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    augment: Augment


class Xception(Network):
    """Knobs of the mini-Xception."""

    width: Annotated[float, Field(gt=0, le=2)]
    batch_norm_momentum: Annotated[float, Field(gt=0, lt=1)]


class CharacterCnn(Network):
    """Knobs of the small character network."""

    preset: Literal["published", "residual"]


class Transfer(Network):
    """Knobs of a network that begins with Inception-v3."""

    image_size: Annotated[int, Field(ge=75, le=1024)]  # Inception-v3 takes no less
    epochs: Annotated[int, Field(ge=0)]
    weights: str
    tap: Tap | Annotated[list[Tap], Field(min_length=1)]
    frozen: Tap | None
    probe_c: Annotated[float, Field(gt=0)] | None
    keep_norm: bool
    mirror: bool

    @field_validator("frozen")
    @classmethod
    def _is_part_of_the_trunk(cls, frozen: Tap | None, info: ValidationInfo) -> Tap | None:
        tap = info.data.get("tap", [])
        taps = [tap] if isinstance(tap, str) else tap
        if frozen and taps and all(int(frozen[5:]) > int(one[5:]) for one in taps):
            raise ValueError(f"lies behind the tap, {' and '.join(taps)}")
        return frozen

    @property
    def taps(self) -> list[Tap]:
        """The layers that are tapped."""
        return [self.tap] if isinstance(self.tap, str) else self.tap


class PhotoInception(Transfer):
    """Knobs of the transfer network that tells cartoons from photos."""

    painted: Share


class CharacterEmbedding(Transfer):
    """Knobs of the face encodings."""

    recoloured: Annotated[float, Field(ge=0, lt=1)]
    strangers: Annotated[float, Field(gt=0, lt=1)]
    margin: Annotated[float, Field(ge=0, lt=1)]
    sharpness: Annotated[float, Field(gt=0, le=100)]


class Sketchify(_Section):
    """Knobs of the U-Net."""

    init: str
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


class Weights(_Section):
    """How much each loss of the cartoonizer counts."""

    surface: Weight
    texture: Weight
    structure: Weight
    content: Weight
    colour: Weight
    variation: Weight
    style: Weight


class Cartoonizer(_Section):
    """Knobs of white-box cartoonization."""

    init: str
    features: str
    superpixels: Literal["felzenszwalb", "slic"]
    image_size: Annotated[int, Field(ge=96, le=256, multiple_of=4)]  # Inception-v3 sees 7/8
    channels: Annotated[int, Field(ge=4, le=64)]
    blocks: Annotated[int, Field(ge=1, le=8)]
    judge_channels: Annotated[int, Field(ge=4, le=64)]
    steps: Annotated[int, Field(ge=0)]
    pretrain: Annotated[int, Field(ge=0)]
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    face_rate: Share
    log_every: Positive
    weights: Weights


class Train(_Section):
    """A section a model."""

    colours: Colours
    gradient: Gradient
    edges: Edges
    xception: Xception
    photo_inception: PhotoInception
    character_cnn: CharacterCnn
    character_inception: Transfer
    character_embedding: CharacterEmbedding
    sketchify: Sketchify
    cartoonizer: Cartoonizer


class Unsure(_Section):
    """When a model of two classes says that it is unsure."""

    error: Annotated[float, Field(gt=0, lt=0.5)]
    most: Annotated[float, Field(ge=0, le=0.9)]


class Evaluate(_Section):
    """What the reports show, and when an answer is no answer."""

    mistakes: Positive
    unsure: Unsure


class Gate(_Section):
    """The figure that counts, a task a line; larger is better."""

    cartoon_or_photo: Literal["accuracy", "balanced_accuracy"]
    characters: Literal["accuracy", "balanced_accuracy"]
    sketch: Literal["psnr", "ssim", "edge_f1"]
    cartoonize: Literal["style_gain"]


class Registry(_Section):
    """The gate between challenger and champion."""

    gate: Gate
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
        return self._model(model).task

    def pictures(self, model: str) -> Kind:
        """Which pictures a model learns from. Raises UserError as `task`."""
        return self._model(model).pictures

    def _model(self, name: str) -> Model:
        if name not in self.models:
            raise UserError(f"no model '{name}': params.yaml has {', '.join(self.models)}")
        return self.models[name]


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
        faults = [_one_line(key, fault) for key, fault in _by_key(error.errors()).items()]
        raise UserError(f"{path}: {'; '.join(faults[:5])}") from None


_KIND = re.compile(r"\w+\[|constrained-|function-")  # pydantic's names for kinds of a value


def _by_key(faults: list[ErrorDetails]) -> dict[str, ErrorDetails]:
    """Key as the file has it to its first fault; a value that may be of two kinds has several."""
    found: dict[str, ErrorDetails] = {}
    for fault in faults:
        parts = [part for part in fault["loc"] if not _KIND.match(str(part))]
        found.setdefault(".".join(map(str, parts)) or "the file", fault)
    return found


def _one_line(key: str, fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{key}'"
    if fault["type"] == "missing":
        return f"'{key}' is missing"
    hint = ""
    if isinstance(fault["input"], str) and re.fullmatch(r"[+-]?\d+e[+-]?\d+", fault["input"], re.I):
        hint = " (YAML takes this for a word: write 1.0e-3, not 1e-3)"
    return f"'{key}' = {fault['input']!r}: {fault['msg'].lower()}{hint}"
