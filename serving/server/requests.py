"""The requests of both APIs, from message to message; gRPC and REST are two ways in."""

from typing import Any

import grpc

from serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
)
from serving.server.manager import Manager
from serving.server.status import StatusError, invalid


def predict(manager: Manager[Any], request: Any) -> Any:
    """Answer a `PredictRequest`; raises `StatusError`."""
    _require_spec(request)
    return manager.find(request.model_spec).predict(request)


def model_metadata(manager: Manager[Any], request: Any) -> Any:
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


def model_status(manager: Manager[Any], request: Any) -> Any:
    """Answer a `GetModelStatusRequest`: every version, largest first, or the one named."""
    _require_spec(request)
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in manager.status(request.model_spec):
        entry = response.model_version_status.add(version=status.version, state=int(status.state))
        entry.status.error_code = status.code.value[0]
        entry.status.error_message = status.message
    return response


def reload_config(manager: Manager[Any], request: Any) -> Any:
    """Answer a `ReloadConfigRequest` when the config is in force; raises as `Manager.apply`."""
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    manager.apply(request.config, keep_trying=False)
    return model_management_pb2.ReloadConfigResponse()


def unimplemented(manager: Manager[Any], request: Any) -> Any:
    """Refuse what this server cannot do (yet)."""
    raise StatusError(
        grpc.StatusCode.UNIMPLEMENTED,
        f"{type(request).__name__}s are not implemented by this server: send a PredictRequest",
    )


def _require_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
