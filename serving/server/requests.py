"""The requests of both APIs, from message to message; gRPC and REST are two ways in."""

import time
from collections.abc import Callable
from typing import Any

import grpc

from serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
)
from serving.server.caller import Caller
from serving.server.cores import on_all_cores
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.status import StatusError, invalid

Answer = Callable[[Manager[Any], Any, Caller], Any]


def predict(manager: Manager[Any], request: Any, caller: Caller) -> Any:
    """Answer a `PredictRequest`; raises `StatusError`."""
    _require_spec(request)
    return manager.find(request.model_spec).predict(request, caller)


def classify(manager: Manager[Any], request: Any, caller: Caller) -> Any:
    """Answer a `ClassificationRequest`; raises `StatusError`."""
    _require_spec(request)
    return manager.find(request.model_spec).classify(request, caller)


def regress(manager: Manager[Any], request: Any, caller: Caller) -> Any:
    """Answer a `RegressionRequest`; raises `StatusError`."""
    _require_spec(request)
    return manager.find(request.model_spec).regress(request, caller)


def multi_inference(manager: Manager[Any], request: Any, caller: Caller) -> Any:
    """Answer a `MultiInferenceRequest` with the version of its first task; raises `StatusError`."""
    spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
    return manager.find(spec).multi_inference(request, caller)


def model_metadata(manager: Manager[Any], request: Any, caller: Caller) -> Any:
    """Answer a `GetModelMetadataRequest`, whose one known field is `signature_def`."""
    _require_spec(request)
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for name in request.metadata_field:
        if name != "signature_def":
            raise invalid(f"Metadata field {name} is not supported")
    servable = manager.find(request.model_spec)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signature_defs.items():
        signatures.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata["signature_def"].Pack(signatures)
    return response


def model_status(manager: Manager[Any], request: Any, caller: Caller) -> Any:
    """Answer a `GetModelStatusRequest`: every version, largest first, or the one named."""
    _require_spec(request)
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in manager.status(request.model_spec):
        entry = response.model_version_status.add(version=status.version, state=int(status.state))
        entry.status.error_code = status.code.value[0]
        entry.status.error_message = status.message
    return response


def reload_config(manager: Manager[Any], request: Any, caller: Caller) -> Any:
    """Answer a `ReloadConfigRequest` when the config is in force; raises as `Manager.apply`."""
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    with on_all_cores():  # TensorFlow's threads may be among those that are started
        manager.apply(request.config, keep_trying=False)
    return model_management_pb2.ReloadConfigResponse()


MEASURED: dict[Answer, str] = {
    predict: "Predict",
    classify: "Classify",
    regress: "Regress",
    multi_inference: "MultiInference",
}
"""What goes into the metrics, and the name of its API there."""


def answer(
    work: Answer,
    manager: Manager[Any],
    metrics: Metrics,
    entrypoint: str,
    request: Any,
    caller: Caller,
) -> Any:
    """Do `work` and count it; raises `StatusError`."""
    started = time.monotonic()
    code = grpc.StatusCode.INTERNAL
    try:
        caller.check()
        response = work(manager, request, caller)
        code = grpc.StatusCode.OK
        return response
    except StatusError as error:
        code = error.code
        raise
    finally:
        if work in MEASURED:
            examples = 0
            if work is predict:
                name = request.model_spec.name
            else:
                tasks = request.tasks if work is multi_inference else [request]
                name = tasks[0].model_spec.name if tasks else ""
                lists = request.input
                examples = len(lists.example_list.examples) + len(
                    lists.example_list_with_context.examples
                )
            seconds = time.monotonic() - started
            name = name if manager.knows(name) else ""
            metrics.answered(name, MEASURED[work], entrypoint, code.name, seconds, examples)


def _require_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
