"""Calls of a model server by model, version and images."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from serving.client.connection import DEFAULT_ADDRESS, Connection
from serving.client.errors import BadInput, LoadFailed, ModelNotFound, ServerDown, ServerError
from serving.client.in_flight import map_in_flight
from serving.client.model_info import SignatureInfo, VersionStatus
from serving.client.predictions import Classification, Prediction
from serving.client.requests import (
    VersionSpec,
    describe,
    image_batch,
    model_spec,
    predict_request,
    styled_inputs,
)
from serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from serving.tensors import Array, to_array

_LOADING_TIMEOUT = 300.0  # seconds; a config is answered when its versions are loaded


class Client:
    """A connection to one model server, or to several that serve the same.

    Args:
        address: host:port of its gRPC side; several IPv4:PORT with commas between, or one
            dns:///NAME:PORT, are asked in turn, and while one is down the others.
        timeout: seconds that a call may take, with all its tries.
        patience: seconds to go on trying while the server is unavailable; a value as large as
            `timeout` outlasts a restart of the server.
        credentials: of TLS, from `grpc.ssl_channel_credentials`; without, nothing is encrypted.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        timeout: float = 30.0,
        patience: float = 1.5,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.patience = patience
        self._connection = Connection(address, credentials)
        channel = self._connection.channel
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the client is of no use afterwards."""
        self._connection.channel.close()

    def run(
        self,
        model: str,
        inputs: Mapping[str, Array],
        version: VersionSpec = None,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
    ) -> Prediction:
        """Call any signature.

        Args:
            model: its name.
            inputs: input name to array; strings as object arrays of bytes.
            version: a number, a label or None for the latest.
            signature: its name.
            outputs: the names to answer; none means all.

        Raises:
            BadInput: the model does not take this.
            ModelNotFound: no such model, version or label.
            ServerDown: nothing answers.
            ServerError: anything else, such as a timeout.
        """
        request = predict_request(model_spec(model, version, signature), inputs, outputs)
        started = time.perf_counter()
        response = self._call(self._predictions.Predict, request, describe(model, version))
        milliseconds = (time.perf_counter() - started) * 1000
        try:
            arrays = {name: to_array(proto) for name, proto in response.outputs.items()}
        except ValueError as error:
            raise ServerError(f"the answer of {model} is malformed: {error}", "INTERNAL") from None
        return Prediction(model, response.model_spec.version.value, arrays, milliseconds)

    def predict(
        self, model: str, images: Sequence[bytes], version: VersionSpec = None
    ) -> Prediction:
        """Send encoded images (JPEG, PNG, BMP or GIF) to a model's `serving_default`.

        Args:
            model: its name.
            images: one file's bytes each; outputs have their rows in this order.
            version: a number, a label or None for the latest.

        Raises:
            ServerError: as `run`.
        """
        return self.run(model, {"image_bytes": image_batch(images)}, version)

    def predict_many(
        self,
        model: str,
        images: Iterable[bytes | Path],
        version: VersionSpec = None,
        in_flight: int = 32,
    ) -> Iterator[Prediction | BadInput]:
        """Send thousands of images, a request each, and yield their answers in the same order.

        Args:
            model: its name.
            images: encoded images, or files of one each; an iterator may be of any length, because
                they are taken only as fast as the answers are.
            version: a number, a label or None for the latest.
            in_flight: requests at a time that are under way, or answered and not yet taken.

        Yields:
            A prediction, or the error of this one image: refused by the model, or unreadable.

        Raises:
            ServerError: as `run`, except BadInput.
        """

        def ask(image: bytes | Path) -> Prediction | BadInput:
            try:
                data = image if isinstance(image, bytes) else image.read_bytes()
                return self.predict(model, [data], version)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                return BadInput(f"{image!s} cannot be read: {reason}", "INVALID_ARGUMENT")
            except BadInput as error:
                where = f"{image}: " if isinstance(image, Path) else ""
                return BadInput(f"{where}{error}", error.code)

        return map_in_flight(ask, images, in_flight)

    def classify(
        self, model: str, images: Sequence[bytes], version: VersionSpec = None
    ) -> list[Classification]:
        """The classes of each image, the most likely first.

        Raises:
            BadInput: the model is no classifier; otherwise as `run`.
        """
        return self.predict(model, images, version).classifications()

    def embed(self, model: str, images: Sequence[bytes], version: VersionSpec = None) -> Array:
        """The encodings of images by a model's signature `embed`: float32 [N, D], unit length.

        Raises:
            BadInput: the model has no such signature; otherwise as `run`.
        """
        answer = self.run(model, {"image_bytes": image_batch(images)}, version, signature="embed")
        name = next(iter(answer.outputs)) if len(answer.outputs) == 1 else "embedding"
        return answer.output(name, "an encoder")

    def draw(
        self, model: str, image: bytes, version: VersionSpec = None, **styles: float
    ) -> Prediction:
        """The output of an image-to-image model, by its signature `styled` where styles are given.

        Args:
            model: its name.
            image: one file's bytes.
            version: a number, a label or None for the latest.
            styles: `strength` and `abstraction` of the cartoonizer, from 0 to 1.

        Raises:
            BadInput: the model has no such style; otherwise as `run`.
        """
        if not styles:
            return self.predict(model, [image], version)
        try:
            return self.run(model, styled_inputs(image, styles), version, signature="styled")
        except BadInput as error:
            if error.code != "FAILED_PRECONDITION":  # it has such a signature
                raise
            raise BadInput(f"{model} has no {' or '.join(styles)}", error.code) from None

    def metadata(self, model: str, version: VersionSpec = None) -> dict[str, SignatureInfo]:
        """The signatures of a model by name.

        Raises:
            ModelNotFound: no such model, version or label; otherwise as `run`.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=model_spec(model, version), metadata_field=["signature_def"]
        )
        call = self._predictions.GetModelMetadata
        response = self._call(call, request, describe(model, version))
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {
            name: SignatureInfo.from_proto(signature)
            for name, signature in signatures.signature_def.items()
            if not name.startswith("__")  # TensorFlow's own, such as __saved_model_init_op
        }

    def status(self, model: str) -> list[VersionStatus]:
        """Every version of a model that the server knows of, as it lists them.

        Raises:
            ModelNotFound: the server knows of none.
        """
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec(model, None))
        response = self._call(self._models.GetModelStatus, request, model)
        return [VersionStatus.from_proto(status) for status in response.model_version_status]

    def wait_available(self, model: str, version: int, timeout: float) -> None:
        """Return when a version answers requests.

        Args:
            model: its name.
            version: its number.
            timeout: seconds to wait, also for the server itself.

        Raises:
            LoadFailed: it could not be loaded.
            ServerError: it is not available after `timeout`.
        """
        deadline = time.monotonic() + timeout
        while True:
            seen = "the server does not know it"
            try:
                for status in self.status(model):
                    if status.version != version:
                        continue
                    if status.state == "AVAILABLE":
                        return
                    if status.error:
                        raise LoadFailed(
                            f"{model} version {version} could not be loaded: {status.error}",
                            "FAILED_PRECONDITION",
                        )
                    seen = f"its state is {status.state}"
            except ServerDown:
                if time.monotonic() > deadline:
                    raise
            except ModelNotFound:
                pass
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{model} version {version} is not available after {timeout:g} s: {seen}",
                    "DEADLINE_EXCEEDED",
                )
            time.sleep(0.2)

    def reload_config(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replace the server's config, and wait for the versions that it names.

        Args:
            config: a `ModelServerConfig`.

        Raises:
            BadInput: the server refuses it, and says why: a bad path, a label on a version that is
                not available.
            ServerError: as `run`.
        """
        request = model_management_pb2.ReloadConfigRequest()
        request.config.ParseFromString(config.SerializeToString())
        call = self._models.HandleReloadConfigRequest
        self._call(call, request, "the new config", max(self.timeout, _LOADING_TIMEOUT))

    def healthy(self) -> bool:
        """Whether the server answers and says that it is ready; never raises, never retries."""
        return self._connection.is_healthy(min(self.timeout, 2.0))

    def _call(
        self,
        method: Callable[..., Any],
        request: Message,
        subject: str,
        timeout: float | None = None,
    ) -> Any:
        return self._connection.call(
            method, request, subject, timeout or self.timeout, self.patience
        )
