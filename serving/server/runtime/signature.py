"""One signature of a loaded model: its inputs, its outputs, and how to run it."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from serving.protos import meta_graph_pb2, types_pb2
from serving.server.deadline import Deadline
from serving.server.runtime.image_limits import refuse_bombs
from serving.server.status import invalid
from serving.tensors import Array, dtype_name, dtype_number, to_array

DEFAULT_SIGNATURE = "serving_default"

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
"""Values of `SignatureDef.method_name`."""


@dataclass(frozen=True)
class Signature:
    """A function of named arrays.

    Attributes:
        name: its key in the model.
        definition: `SignatureDef`, as the file has it.
        run: one array for each input to one for each output, strings as object arrays of bytes;
            raises `StatusError` with whatever the graph says, or DEADLINE_EXCEEDED.
    """

    name: str
    definition: meta_graph_pb2.SignatureDef
    run: Callable[[Mapping[str, Array], Deadline], dict[str, Array]]

    @cached_property
    def batchable(self) -> bool:
        """Whether every tensor's first dimension is free, and so may be the batch's."""
        tensors = [*self.definition.inputs.values(), *self.definition.outputs.values()]
        return bool(self.definition.inputs) and all(
            tensor.tensor_shape.dim and tensor.tensor_shape.dim[0].size == -1 for tensor in tensors
        )

    @cached_property
    def defaults(self) -> Mapping[str, Array]:
        """Input name to what it is where a request leaves it out."""
        return {name: to_array(proto) for name, proto in self.definition.defaults.items()}

    def check_inputs(self, inputs: Mapping[str, Array]) -> int:
        """Refuse what does not fit, and count the pixels of the pictures in it.

        As in TensorFlow Serving, only the graph decides which shapes fit.

        Raises:
            StatusError: INVALID_ARGUMENT, naming the input.
        """
        expected = self.definition.inputs
        if inputs.keys() != expected.keys():
            raise invalid(
                f"input size does not match signature: {len(inputs)}!={len(expected)} "
                f"len({{{_names(inputs)}}}) != len({{{_names(expected)}}}). "
                f"Sent extra: {{{_names(inputs.keys() - expected.keys())}}}. "
                f"Missing but required: {{{_names(expected.keys() - inputs.keys())}}}."
                f" (signature {self.name})"
            )
        pixels = 0
        for name, info in expected.items():
            number = dtype_number(inputs[name])
            if number != info.dtype:
                raise invalid(
                    f"input {name!r} must be {dtype_name(info.dtype)}, but is {dtype_name(number)}"
                )
            if number == types_pb2.DT_STRING:
                pixels += refuse_bombs(name, inputs[name].ravel())
        return pixels

    def check_outputs(self, names: Collection[str]) -> None:
        """Refuse an output filter that names what is not there.

        Raises:
            StatusError: INVALID_ARGUMENT, in TensorFlow Serving's words.
        """
        known = self.definition.outputs
        seen: set[str] = set()
        for name in names:
            if name not in known:
                raise invalid(
                    f"output tensor alias not found in signature: {name} "
                    f"Outputs expected to be in the set {{{_names(known)}}}."
                )
            if name in seen:
                raise invalid(f"duplicate output tensor alias: {name}")
            seen.add(name)


def _names(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
