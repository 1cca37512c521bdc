"""One loaded version of a model, and how it answers each kind of request."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from serving.protos import (
    classification_pb2,
    inference_pb2,
    meta_graph_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from serving.server.byte_budget import NO_BUDGET, Hold
from serving.server.deadline import Deadline
from serving.server.metrics import RUNTIME_LATENCY, Metrics
from serving.server.runtime import examples
from serving.server.runtime.batching import Queue, Run
from serving.server.runtime.signature import (
    CLASSIFY,
    DEFAULT_SIGNATURE,
    PREDICT,
    REGRESS,
    Signature,
)
from serving.server.status import StatusError, invalid
from serving.tensors import Array, array_bytes, fill_proto, to_array

Result: TypeAlias = classification_pb2.ClassificationResult | regression_pb2.RegressionResult

_BYTES_PER_PIXEL = 3  # of a decoded picture


@dataclass(frozen=True)
class PredictOptions:
    """How requests are answered.

    Attributes:
        check_method_names: refuse signatures whose method name does not fit the request.
        as_tensor_content: answer numbers as raw bytes.
        metrics: how long the graphs run.
    """

    check_method_names: bool = False
    as_tensor_content: bool = False
    metrics: Metrics = field(default_factory=Metrics)


class Servable:
    """A model in memory, ready for requests from many threads.

    Every `StatusError` that it raises names the model and the version.

    Attributes:
        name: of the model.
        version: its number.
        signature_defs: name to `SignatureDef`, as the file has them.
    """

    def __init__(
        self,
        name: str,
        version: int,
        signature_defs: Mapping[str, meta_graph_pb2.SignatureDef],
        signatures: Mapping[str, Signature],
        queue: Callable[[Run], Queue] | None = None,
        options: PredictOptions = PredictOptions(),
    ) -> None:
        self._options = options
        self.name = name
        self.version = version
        self.signature_defs = signature_defs
        self._signatures = signatures
        self._queues = {
            key: queue(signature.run)
            for key, signature in signatures.items()
            if queue and signature.batchable
        }

    def __str__(self) -> str:
        return f"model {self.name} version {self.version}"

    def input_infos(self, signature_name: str) -> Mapping[str, meta_graph_pb2.TensorInfo]:
        """Input name to `TensorInfo`; raises INVALID_ARGUMENT where there is no such signature."""
        key = signature_name or DEFAULT_SIGNATURE
        if key not in self._signatures:
            raise self._named(
                invalid(f'Serving signature name: "{key}" not found in signature def')
            )
        infos: Mapping[str, meta_graph_pb2.TensorInfo] = self._signatures[key].definition.inputs
        return infos

    def predict(
        self, request: predict_pb2.PredictRequest, deadline: Deadline, hold: Hold
    ) -> predict_pb2.PredictResponse:
        """Answer a `PredictRequest` with a `PredictResponse`.

        Args:
            request: the message.
            deadline: of the request.
            hold: is charged for the arrays.

        Raises:
            StatusError: FAILED_PRECONDITION where there is no such signature, INVALID_ARGUMENT for
                what does not fit it, RESOURCE_EXHAUSTED, or whatever the graph says.
        """
        inputs = {}
        for name, proto in request.inputs.items():
            try:
                hold.add(array_bytes(proto))
                inputs[name] = to_array(proto)
            except ValueError as error:
                raise self._named(
                    invalid(f"tensor parsing error: input {name!r} is malformed: {error}")
                ) from None
        key = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if self._options.check_method_names and key in self._signatures:
            self._check_method_name(key, "prediction", PREDICT, CLASSIFY, REGRESS)
        outputs = self.run(key, inputs, request.output_filter, deadline, hold)
        hold.add(sum(array.nbytes for array in outputs.values()))  # once more, in the message
        response = predict_pb2.PredictResponse()
        self._fill_spec(response.model_spec, key)
        typed = not self._options.as_tensor_content
        for name, array in outputs.items():
            try:
                fill_proto(response.outputs[name], array, typed)
            except ValueError as error:  # complex numbers
                message = f"output {name!r} is not supported: {error}"
                raise self._named(StatusError(grpc.StatusCode.UNIMPLEMENTED, message)) from None
        return response

    def run(
        self,
        signature_name: str,
        inputs: Mapping[str, Array],
        outputs: Collection[str],
        deadline: Deadline,
        hold: Hold,
    ) -> dict[str, Array]:
        """Call a signature; `outputs` names what to answer, none of them means all.

        Raises:
            StatusError: as `predict`.
        """
        key = signature_name or DEFAULT_SIGNATURE
        if key not in self._signatures:
            message = f'Serving signature key "{key}" not found.'
            raise self._named(StatusError(grpc.StatusCode.FAILED_PRECONDITION, message))
        return self._run("Predict", self._signatures[key], inputs, outputs, deadline, hold)

    def classify(
        self, request: classification_pb2.ClassificationRequest, deadline: Deadline
    ) -> classification_pb2.ClassificationResponse:
        """Answer a `ClassificationRequest`; raises `StatusError`."""
        response = classification_pb2.ClassificationResponse()
        self._infer(request, deadline, CLASSIFY, response.model_spec, response.result)
        return response

    def regress(
        self, request: regression_pb2.RegressionRequest, deadline: Deadline
    ) -> regression_pb2.RegressionResponse:
        """Answer a `RegressionRequest`; raises `StatusError`."""
        response = regression_pb2.RegressionResponse()
        self._infer(request, deadline, REGRESS, response.model_spec, response.result)
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, deadline: Deadline
    ) -> inference_pb2.MultiInferenceResponse:
        """Answer a `MultiInferenceRequest`; its tasks share the examples; raises `StatusError`."""
        seen = set()
        for task in request.tasks:
            if not task.model_spec.name:
                raise invalid("Found ModelSpec with an empty model name.")
            if task.model_spec.name != self.name:
                raise invalid(
                    "All ModelSpecs in a MultiInferenceRequest must access the same model name."
                )
            key = task.model_spec.signature_name or DEFAULT_SIGNATURE
            if key in seen:
                raise self._named(invalid(f"Duplicate evaluation of signature: {key}"))
            self._example_signature(
                key, task.method_name, "Requested signature not found in model graph: "
            )
            seen.add(key)
        response = inference_pb2.MultiInferenceResponse()
        inputs = examples.serialized(request.input)
        for task in request.tasks:
            result = response.results.add()
            kind = "classification" if task.method_name == CLASSIFY else "regression"
            key = task.model_spec.signature_name or DEFAULT_SIGNATURE
            self._fill_spec(result.model_spec, key)
            target = getattr(result, f"{kind}_result")
            signature = self._signatures[key]
            api = "MultiInference"
            self._fill_result(api, task.method_name, signature, inputs, deadline, target)
        return response

    def _infer(
        self,
        request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
        deadline: Deadline,
        method: str,
        spec: model_pb2.ModelSpec,
        result: Result,
    ) -> None:
        key = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = self._example_signature(key, method, "No signature was found with the name: ")
        self._fill_spec(spec, key)
        inputs = examples.serialized(request.input)
        api = "Classify" if method == CLASSIFY else "Regress"
        self._fill_result(api, method, signature, inputs, deadline, result)

    def _example_signature(self, key: str, method: str, not_found: str) -> Signature:
        if key not in self._signatures:
            raise self._named(invalid(not_found + key))
        checks: Mapping[str, Callable[[Signature], None]] = {
            CLASSIFY: examples.check_classifier,
            REGRESS: examples.check_regressor,
        }
        if method not in checks:
            message = f"Unsupported signature method_name: {method}"
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, message)
        if self._options.check_method_names:
            self._check_method_name(key, method.rpartition("/")[2], method)
        try:
            checks[method](self._signatures[key])
        except StatusError as error:
            raise self._named(error) from None
        return self._signatures[key]

    def _check_method_name(self, key: str, kind: str, *expected: str) -> None:
        name = self._signatures[key].definition.method_name
        if name not in expected:
            message = (
                f"Expected {kind} signature method_name to be one of {{{', '.join(expected)}}}"
            )
            error = StatusError(grpc.StatusCode.INTERNAL, f"{message}. Was: {name}")
            raise self._named(error)

    def _fill_result(
        self,
        api: str,
        method: str,
        signature: Signature,
        inputs: Mapping[str, Array],
        deadline: Deadline,
        result: Result,
    ) -> None:
        outputs = self._run(api, signature, inputs, (), deadline, NO_BUDGET.hold())
        fill = examples.fill_classes if method == CLASSIFY else examples.fill_values
        try:
            fill(outputs, len(inputs[examples.INPUTS]), result)
        except StatusError as error:
            raise self._named(error) from None

    def _run(
        self,
        api: str,
        signature: Signature,
        inputs: Mapping[str, Array],
        outputs: Collection[str],
        deadline: Deadline,
        hold: Hold,
    ) -> dict[str, Array]:
        inputs = {**signature.defaults, **inputs}
        try:
            pixels = signature.check_inputs(inputs)
            hold.add(_BYTES_PER_PIXEL * pixels)
            signature.check_outputs(outputs)
            deadline.check()
            queue = self._queues.get(signature.name)
            rows = {array.shape[:1] for array in inputs.values()}
            started = time.monotonic()
            if queue and len(rows) == 1 and not rows & {(), (0,)}:
                results = queue(inputs, deadline)
            else:
                results = signature.run(inputs, deadline)
            microseconds = 1e6 * (time.monotonic() - started)
            self._options.metrics.add(RUNTIME_LATENCY, microseconds, self.name, api, "TF1")
        except StatusError as error:
            raise self._named(error) from None
        return {name: results[name] for name in outputs} if outputs else results

    def _fill_spec(self, spec: model_pb2.ModelSpec, signature_name: str) -> None:
        spec.name = self.name
        spec.version.value = self.version
        spec.signature_name = signature_name

    def _named(self, error: StatusError) -> StatusError:
        return StatusError(error.code, f"{self}: {error.message}")
