"""What a model server tells about a model: its signatures, and the states of its versions."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.protos import get_model_status_pb2, meta_graph_pb2
from serving.tensors import dtype_name


@dataclass(frozen=True)
class TensorInfo:
    """An input or output.

    Attributes:
        dtype: such as `float32` or `string`.
        shape: None stands for a free size; None as a whole for a free number of dimensions.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    @classmethod
    def from_proto(cls, proto: meta_graph_pb2.TensorInfo) -> "TensorInfo":
        """From the message of the same name."""
        shape = tuple(None if dim.size < 0 else dim.size for dim in proto.tensor_shape.dim)
        return cls(dtype_name(proto.dtype), None if proto.tensor_shape.unknown_rank else shape)


@dataclass(frozen=True)
class SignatureInfo:
    """A way to call a model: its inputs and outputs by name."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]

    @classmethod
    def from_proto(cls, proto: meta_graph_pb2.SignatureDef) -> "SignatureInfo":
        """From a `SignatureDef`."""
        inputs = {name: TensorInfo.from_proto(info) for name, info in proto.inputs.items()}
        outputs = {name: TensorInfo.from_proto(info) for name, info in proto.outputs.items()}
        return cls(inputs, outputs)


@dataclass(frozen=True)
class VersionStatus:
    """A version's state (START, LOADING, AVAILABLE, UNLOADING, END) and, if it failed, why."""

    version: int
    state: str
    error: str

    @classmethod
    def from_proto(cls, proto: get_model_status_pb2.ModelVersionStatus) -> "VersionStatus":
        """From a `ModelVersionStatus`."""
        state = get_model_status_pb2.ModelVersionStatus.State.Name(proto.state)
        return cls(proto.version, state, " ".join(proto.status.error_message.split()))
