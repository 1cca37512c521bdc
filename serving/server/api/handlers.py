"""What each request does, behind gRPC and REST alike."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import grpc
from google.protobuf.message import Message

from serving.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    meta_graph_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from serving.server.byte_budget import ByteBudget
from serving.server.deadline import Deadline
from serving.server.metrics import EXAMPLE_COUNTS, EXAMPLES, LATENCY, REQUESTS, Metrics
from serving.server.repository.manager import Manager
from serving.server.request_log import RequestLogs
from serving.server.runtime.cpu_affinity import on_all_cores
from serving.server.status import StatusError, invalid

QUEUE_PER_THREAD = 8
"""Requests that may wait for each thread of an API; further ones are refused at once."""


class Handlers:
    """Answers the requests of one API and counts them; every method raises `StatusError`.

    Args:
        manager: of the models.
        metrics: where requests are counted.
        entrypoint: the API's name in the metrics, "GRPC" or "REST".
        budget: of the bytes of all requests.
        logs: of requests that were answered.
    """

    def __init__(
        self,
        manager: Manager,
        metrics: Metrics,
        entrypoint: str,
        budget: ByteBudget,
        logs: RequestLogs,
    ) -> None:
        self._manager = manager
        self._metrics = metrics
        self._entrypoint = entrypoint
        self._budget = budget
        self._logs = logs

    def predict(
        self, request: predict_pb2.PredictRequest, deadline: Deadline
    ) -> predict_pb2.PredictResponse:
        """Call a signature with tensors."""
        with self._counted("Predict", request.model_spec), self._budget.hold() as hold:
            deadline.check()
            response = self._manager.find(_model_spec(request)).predict(request, deadline, hold)
        self._logs.add(request.model_spec.name, "predict_log", request, response)
        return response

    def classify(
        self, request: classification_pb2.ClassificationRequest, deadline: Deadline
    ) -> classification_pb2.ClassificationResponse:
        """Labels and scores of `tf.train.Example`s."""
        with self._counted("Classify", request.model_spec, request.input):
            deadline.check()
            response = self._manager.find(_model_spec(request)).classify(request, deadline)
        self._logs.add(request.model_spec.name, "classify_log", request, response)
        return response

    def regress(
        self, request: regression_pb2.RegressionRequest, deadline: Deadline
    ) -> regression_pb2.RegressionResponse:
        """Values of `tf.train.Example`s."""
        with self._counted("Regress", request.model_spec, request.input):
            deadline.check()
            response = self._manager.find(_model_spec(request)).regress(request, deadline)
        self._logs.add(request.model_spec.name, "regress_log", request, response)
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, deadline: Deadline
    ) -> inference_pb2.MultiInferenceResponse:
        """Classify and regress the same examples, with the version that the first task names."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._counted("MultiInference", spec, request.input):
            deadline.check()
            response = self._manager.find(spec).multi_inference(request, deadline)
        self._logs.add(spec.name, "multi_inference_log", request, response)
        return response

    def get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, deadline: Deadline
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a model; `signature_def` is the only metadata field."""
        deadline.check()
        spec = _model_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        servable = self._manager.find(spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in servable.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest, deadline: Deadline
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The state of every version of a model, the largest first, or of the one that is named."""
        deadline.check()
        spec = _model_spec(request)
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._manager.status(spec):
            entry = response.model_version_status.add(
                version=status.version, state=int(status.state)
            )
            entry.status.error_code = status.code.value[0]
            entry.status.error_message = status.message
        return response

    def reload_config(
        self, request: model_management_pb2.ReloadConfigRequest, deadline: Deadline
    ) -> model_management_pb2.ReloadConfigResponse:
        """Replace the model config; raises as `Manager.apply`."""
        deadline.check()
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        with on_all_cores():  # loading may start threads of TensorFlow's
            self._manager.apply(request.config, keep_trying=False)
        return model_management_pb2.ReloadConfigResponse()

    def input_infos(self, spec: model_pb2.ModelSpec) -> Mapping[str, meta_graph_pb2.TensorInfo]:
        """Input name to `TensorInfo` of a signature: JSON does not say what type a tensor has."""
        return self._manager.find(spec).input_infos(spec.signature_name)

    def available(self) -> list[tuple[str, int]]:
        """Name and version of all that is served, sorted."""
        return self._manager.available()

    def is_ready(self) -> bool:
        """Whether the first loads are done."""
        return self._manager.first_config_applied

    def metrics_page(self) -> str:
        """All metrics, of all APIs, in Prometheus's text format."""
        return self._metrics.page()

    @contextmanager
    def _counted(
        self, api: str, spec: model_pb2.ModelSpec, examples: input_pb2.Input | None = None
    ) -> Iterator[None]:
        """Count the request that is answered in this block, under the name `api`."""
        started = time.monotonic()
        code = grpc.StatusCode.INTERNAL
        try:
            yield
            code = grpc.StatusCode.OK
        except StatusError as error:
            code = error.code
            raise
        finally:
            model = spec.name if self._manager.is_known(spec.name) else ""
            microseconds = 1e6 * (time.monotonic() - started)
            self._metrics.add(REQUESTS, 1, model, code.name)
            self._metrics.add(LATENCY, microseconds, model, api, self._entrypoint)
            count = 0 if examples is None else _number_of_examples(examples)
            if count:
                self._metrics.add(EXAMPLES, count, model)
                self._metrics.add(EXAMPLE_COUNTS, count, model)


def _number_of_examples(examples: input_pb2.Input) -> int:
    with_context = examples.example_list_with_context
    return len(examples.example_list.examples) + len(with_context.examples)


def _model_spec(request: Message) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec  # type: ignore[attr-defined]
