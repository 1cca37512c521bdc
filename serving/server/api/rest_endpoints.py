"""REST endpoints: from JSON to the messages that `Handlers` takes, and back."""

import zlib
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from serving.limits import MAX_MESSAGE_BYTES
from serving.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from serving.server.api import json_examples, json_numbers, json_tensor
from serving.server.api.handlers import Handlers
from serving.server.byte_budget import Hold
from serving.server.deadline import Deadline
from serving.server.status import StatusError, invalid, one_line
from serving.tensors import fill_proto, to_array

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class ModelRequest:
    """A REST request to a model.

    Attributes:
        spec: the model, and the version or label, that its path names.
        body: as it was sent.
        is_gzip: whether the body is compressed.
        deadline: of the request.
        hold: the bytes that the request occupies.
    """

    spec: model_pb2.ModelSpec
    body: bytearray
    is_gzip: bool
    deadline: Deadline
    hold: Hold

    def query(self) -> JsonObject:
        """The JSON object in the body; its `signature_name` is moved into `spec`.

        Raises:
            StatusError: INVALID_ARGUMENT: the body is no gzip, no JSON or no object;
                RESOURCE_EXHAUSTED.
        """
        try:
            body = _decompressed(self.body) if self.is_gzip else bytes(self.body)
            query = json_numbers.loads(body, self.hold)
        except (ValueError, RecursionError) as error:
            raise invalid(f"JSON Parse error: {one_line(str(error))}") from None
        if not isinstance(query, dict):
            raise invalid("JSON Parse error: the body must be an object")
        if not isinstance(query.get("signature_name", ""), str):
            raise invalid("'signature_name' key must be a string value.")
        self.spec.signature_name = query.get("signature_name", "")
        return query


class RestEndpoints:
    """Each method answers a request with a JSON object, or raises `StatusError`."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def predict(self, request: ModelRequest) -> JsonObject:
        """Call a signature with tensors, by row ("instances") or by column ("inputs")."""
        query = request.query()
        inputs, by_row = json_tensor.inputs(query, self._handlers.input_infos(request.spec))
        message = predict_pb2.PredictRequest(model_spec=request.spec)
        for name, array in inputs.items():
            fill_proto(message.inputs[name], array)
        response = self._handlers.predict(message, request.deadline)
        outputs = {name: to_array(proto) for name, proto in sorted(response.outputs.items())}
        return json_tensor.rows(outputs) if by_row else json_tensor.columns(outputs)

    def classify(self, request: ModelRequest) -> JsonObject:
        """Labels and scores of "examples"."""
        query = request.query()
        message = classification_pb2.ClassificationRequest(model_spec=request.spec)
        json_examples.fill_input(query, message.input)
        response = self._handlers.classify(message, request.deadline)
        return json_examples.classifications(response.result)

    def regress(self, request: ModelRequest) -> JsonObject:
        """Values of "examples"."""
        query = request.query()
        message = regression_pb2.RegressionRequest(model_spec=request.spec)
        json_examples.fill_input(query, message.input)
        response = self._handlers.regress(message, request.deadline)
        return json_examples.regressions(response.result)

    def status(self, request: ModelRequest) -> JsonObject:
        """The state of the versions of a model."""
        message = get_model_status_pb2.GetModelStatusRequest(model_spec=request.spec)
        return _as_dict(self._handlers.get_model_status(message, request.deadline))

    def models(self, request: ModelRequest) -> JsonObject:
        """What is served: this server's own list; the real one has none."""
        request.deadline.check()
        return {
            "models": [
                {"name": name, "version": str(version)}
                for name, version in self._handlers.available()
            ]
        }

    def metadata(self, request: ModelRequest) -> JsonObject:
        """The signatures of a model."""
        message = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=request.spec, metadata_field=["signature_def"]
        )
        response = self._handlers.get_model_metadata(message, request.deadline)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {
            "model_spec": _as_dict(response.model_spec),
            "metadata": {"signature_def": _as_dict(signatures)},
        }


def body_too_large() -> StatusError:
    """The error for a body of more than `MAX_MESSAGE_BYTES`, compressed or not."""
    return invalid(f"the body is larger than {MAX_MESSAGE_BYTES >> 20} MB")


def _decompressed(body: bytearray) -> bytes:
    """The content of a gzip file; no more of it is unpacked than a body may have."""
    gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = gzip.decompress(body, MAX_MESSAGE_BYTES + 1)
    except zlib.error as error:
        raise invalid(f"the body is no gzip: {error}") from None
    if len(content) > MAX_MESSAGE_BYTES:
        raise body_too_large()
    if not gzip.eof:
        raise invalid("the body is no gzip: it ends too soon")
    return content


def _as_dict(message: Message) -> JsonObject:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
