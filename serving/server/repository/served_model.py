"""What is served of a model, and the state of each of its versions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import grpc

from serving.server.runtime.servable import Servable


class State(IntEnum):
    """`ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class LoadStatus:
    """The state of one version; END with a code other than OK means that it failed to load."""

    version: int
    state: State
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""


@dataclass(frozen=True)
class ServedModel:
    """The loaded versions and the labels of one model. Never changed, only replaced."""

    versions: Mapping[int, Servable] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
