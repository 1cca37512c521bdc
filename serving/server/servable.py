"""One loaded SavedModel version. The only module of the server that imports TensorFlow."""

import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from serving.protos import predict_pb2, prediction_log_pb2
from serving.server.status import CODES, StatusError, graph_error, invalid
from serving.server.versions import SAVED_MODEL_FILES
from serving.tensors import Array, to_array, to_proto

log = logging.getLogger(__name__)

DEFAULT_SIGNATURE = "serving_default"
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_WARMUP_REQUESTS = 1000


def prepare_devices() -> None:
    """Take GPU memory as it is needed, so that a training beside the server has some too."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


class Servable:
    """A SavedModel in memory, ready for requests from many threads.

    Attributes:
        name: of the model.
        version: its number.
        signature_defs: name to `SignatureDef`, as the file has them.
    """

    def __init__(self, name: str, version: int, folder: Path) -> None:
        """Load and warm up.

        Raises:
            StatusError: the folder cannot be loaded, or a warm-up request of its own fails.
        """
        self.name = name
        self.version = version
        try:
            self.signature_defs = _signature_defs(folder)
            self._model = tf.saved_model.load(str(folder))
        except tf.errors.OpError as error:
            raise StatusError(_code(error), graph_error(error.message)) from None
        self._functions: Mapping[str, Any] = dict(self._model.signatures)
        self._warm_up(folder / WARMUP_FILE)

    def __str__(self) -> str:
        return f"model {self.name} version {self.version}"

    def input_specs(self, signature_name: str) -> Mapping[str, Any]:
        """Input name to `tf.TensorSpec`.

        Raises:
            StatusError: INVALID_ARGUMENT where there is no such signature.
        """
        specs: Mapping[str, Any] = self._function(signature_name).structured_input_signature[1]
        return specs

    def run(
        self, signature_name: str, inputs: Mapping[str, Array], outputs: Collection[str] = ()
    ) -> dict[str, Array]:
        """Call a signature.

        Args:
            signature_name: empty for `serving_default`.
            inputs: one array for each input; strings as object arrays of bytes.
            outputs: the names to answer; none means all.

        Raises:
            StatusError: INVALID_ARGUMENT for what does not fit the signature, or whatever the graph
                says.
        """
        signature_name = signature_name or DEFAULT_SIGNATURE
        function = self._function(signature_name)
        self._check_inputs(signature_name, self.input_specs(signature_name), inputs)
        self._check_outputs(function.structured_outputs, outputs)
        try:
            results = function(**{name: tf.convert_to_tensor(inputs[name]) for name in inputs})
            return {name: results[name].numpy() for name in outputs or results}
        except tf.errors.OpError as error:
            raise StatusError(_code(error), f"{self}: {graph_error(error.message)}") from None

    def predict(self, request: Any) -> Any:
        """Answer a `PredictRequest` with a `PredictResponse`.

        Raises:
            StatusError: as `run`.
        """
        inputs = {}
        for name, proto in request.inputs.items():
            try:
                inputs[name] = to_array(proto)
            except ValueError as error:
                raise invalid(f"{self}: input {name!r} is malformed: {error}") from None
        signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        outputs = self.run(signature_name, inputs, request.output_filter)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = self.name
        response.model_spec.version.value = self.version
        response.model_spec.signature_name = signature_name
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(to_proto(array, typed=True))
        return response

    def _function(self, signature_name: str) -> Any:
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self._functions:
            raise invalid(
                f'{self}: Serving signature key "{name}" not found; '
                f"it has {_names(self._functions) or 'none'}"
            )
        return self._functions[name]

    def _check_inputs(
        self, signature_name: str, specs: Mapping[str, Any], inputs: Mapping[str, Array]
    ) -> None:
        if inputs.keys() != specs.keys():
            raise invalid(
                f"{self}, signature {signature_name}: input size does not match signature: "
                f"Sent extra: {{{_names(inputs.keys() - specs.keys())}}}. "
                f"Missing but required: {{{_names(specs.keys() - inputs.keys())}}}."
            )
        for name, spec in specs.items():
            dtype = tf.as_dtype(inputs[name].dtype if inputs[name].dtype != object else tf.string)
            if dtype != spec.dtype:
                raise invalid(
                    f"{self}: input {name!r} must be {spec.dtype.name}, but is {dtype.name}"
                )
            if not spec.shape.is_compatible_with(inputs[name].shape):
                raise invalid(
                    f"{self}: input {name!r} must have the shape {_shape(spec.shape)}, "
                    f"but has {list(inputs[name].shape)}"
                )

    def _check_outputs(self, known: Mapping[str, Any], outputs: Collection[str]) -> None:
        for name in outputs:
            if name not in known:
                raise invalid(
                    f"{self}: output tensor alias not found in signature: {name} "
                    f"Outputs expected to be in the set {{{_names(known)}}}."
                )
        if len(set(outputs)) < len(outputs):
            raise invalid(f"{self}: duplicate output tensor alias in {list(outputs)}")

    def _warm_up(self, path: Path) -> None:
        """Run the requests that the SavedModel brings: no caller shall pay for the first run."""
        if not path.is_file():
            return
        count = 0
        try:
            for record in tf.data.TFRecordDataset(str(path)).take(MAX_WARMUP_REQUESTS):
                entry = prediction_log_pb2.PredictionLog.FromString(record.numpy())
                if entry.WhichOneof("log_type") == "predict_log":
                    self.predict(entry.predict_log.request)
                    count += 1
        except StatusError as error:
            raise StatusError(error.code, f"warm-up request {count}: {error.message}") from None
        log.info("Warmed up {name: %s version: %d}: %d requests", self.name, self.version, count)


def _signature_defs(folder: Path) -> dict[str, Any]:
    """The signatures in the file, of the meta graph that is tagged for serving."""
    saved_model = saved_model_pb2.SavedModel()
    binary, text = (folder / name for name in SAVED_MODEL_FILES)
    if binary.is_file():
        try:
            saved_model.ParseFromString(binary.read_bytes())
        except DecodeError:
            message = f"Can't parse {binary} as binary proto"
            raise StatusError(grpc.StatusCode.DATA_LOSS, message) from None
    else:
        text_format.Parse(text.read_text(encoding="utf-8"), saved_model)
    for meta_graph in saved_model.meta_graphs:
        if tf.saved_model.SERVING in meta_graph.meta_info_def.tags:
            return dict(meta_graph.signature_def)
    raise StatusError(
        grpc.StatusCode.NOT_FOUND,
        f"{folder} has no meta graph with the tag {tf.saved_model.SERVING}",
    )


def _code(error: Any) -> Any:
    return CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)


def _names(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _shape(shape: Any) -> str:
    if shape.rank is None:
        return "[...]"
    return "[" + ", ".join("N" if size is None else str(size) for size in shape) + "]"
