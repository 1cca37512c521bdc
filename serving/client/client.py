"""Ask a model server, ours or TensorFlow Serving's, over gRPC. Imports no TensorFlow.

    with Client() as client:
        answer = client.classify("xception", [Path("picture.png").read_bytes()], version="stable")
        print(answer[0].name, answer[0].score)

A client may be shared by threads: they use one connection. In asyncio, each call is
`await asyncio.to_thread(client.classify, "xception", [picture])`.
"""

import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.answers import (
    BadInput,
    Classification,
    LoadFailed,
    ModelNotFound,
    Prediction,
    ServerDown,
    ServerError,
    Signature,
    TensorInfo,
    VersionStatus,
)
from serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from serving.tensors import Array, dtype_name, to_array, to_proto

DEFAULT_ADDRESS = "127.0.0.1:8500"
ADDRESS_VARIABLE = "CELFLOW_SERVER"
MAX_MESSAGE_BYTES = 64 << 20

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0  # seconds between tries; doubled after each
_LOADING_TIMEOUT = 300.0  # seconds; a config is answered when its versions are loaded
_LOOPBACK = ("127.", "localhost", "[::1]", "ipv4:127.", "ipv6:[::1]")
# What gRPC says where nobody answers; other words are a server's.
_NOBODY = ("connections to all backends failing", "failed to connect", "errors resolving")

VersionSpec = int | str | None
"""A version's number, a label such as "stable" or "canary", or None for the largest number."""


STYLES = {"sharpness": 0.5, "abstraction": 0.0}  # where nobody says otherwise


def default_address() -> str:
    """The address in CELFLOW_SERVER, or 127.0.0.1:8500."""
    return os.environ.get(ADDRESS_VARIABLE, "").strip() or DEFAULT_ADDRESS


class Client:
    """A connection to one model server.

    Args:
        address: host:port of its gRPC side.
        timeout: seconds that a call may take, with all its tries.
        patience: seconds to go on trying where the server is unavailable; as long as `timeout`,
            it outlasts a restart of the server.
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
        options = [
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # dns:///name:8500 may be many servers, such as the pods behind a headless service.
            ("grpc.lb_policy_name", "round_robin"),
            # A proxy from the environment cannot reach this machine's loopback.
            ("grpc.enable_http_proxy", 0 if address.startswith(_LOOPBACK) else 1),
        ]
        self._channel = (
            grpc.secure_channel(address, credentials, options)
            if credentials
            else grpc.insecure_channel(address, options)
        )
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; the client is of no use afterwards."""
        self._channel.close()

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
        request = predict_pb2.PredictRequest(
            model_spec=_spec(model, version, signature), output_filter=outputs
        )
        for name, array in inputs.items():
            try:
                request.inputs[name].CopyFrom(to_proto(array))
            except ValueError as error:
                raise BadInput(f"input {name}: {error}", "INVALID_ARGUMENT") from None
        started = time.perf_counter()
        response = self._call(self._predictions.Predict, request, _named(model, version))
        milliseconds = (time.perf_counter() - started) * 1000
        try:
            arrays = {name: to_array(proto) for name, proto in response.outputs.items()}
        except ValueError as error:
            raise ServerError(f"the answer of {model} is malformed: {error}", "INTERNAL") from None
        return Prediction(model, response.model_spec.version.value, arrays, milliseconds)

    def predict(self, model: str, images: Sequence[bytes], version: VersionSpec = None) -> Prediction:
        """Send encoded images (JPEG, PNG, BMP or GIF) to a model's `serving_default`.

        Args:
            model: its name.
            images: one file's bytes each; outputs have their rows in this order.
            version: a number, a label or None for the latest.

        Raises:
            ServerError: as `run`.
        """
        return self.run(model, {"image_bytes": _batch(images)}, version)

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
            images: encoded images or files with one; they are taken as answers are, so that an
                iterator of any length may give them.
            version: a number, a label or None for the latest.
            in_flight: requests that are under way, or answered and not yet taken, at a time.

        Yields:
            A prediction, or why the model (or the disk) refuses this one image.

        Raises:
            ServerError: as `run`, but for BadInput.
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

        under_way: deque[Future[Prediction | BadInput]] = deque()
        with ThreadPoolExecutor(in_flight, thread_name_prefix="predict") as threads:
            try:
                for image in images:
                    if len(under_way) == in_flight:
                        yield under_way.popleft().result()
                    under_way.append(threads.submit(ask, image))
                while under_way:
                    yield under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

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
        answer = self.run(model, {"image_bytes": _batch(images)}, version, signature="embed")
        name = next(iter(answer.outputs)) if len(answer.outputs) == 1 else "embedding"
        return answer.output(name, "an encoder")

    def draw(
        self, model: str, image: bytes, version: VersionSpec = None, **styles: float
    ) -> Prediction:
        """What a picture model makes of an image, by its signature `styled` where styles are given.

        Args:
            model: its name.
            image: one file's bytes.
            version: a number, a label or None for the latest.
            styles: `sharpness` and `abstraction` of the cartoonizer, from 0 to 1.

        Raises:
            BadInput: the model has no such style; otherwise as `run`.
        """
        if not styles:
            return self.predict(model, [image], version)
        values = {name: np.array([value], np.float32) for name, value in styles.items()}
        defaults = {name: np.array([value], np.float32) for name, value in STYLES.items()}
        inputs = {"image_bytes": _batch([image]), **defaults, **values}
        try:
            return self.run(model, inputs, version, signature="styled")
        except BadInput as error:
            if error.code != "FAILED_PRECONDITION":  # it has such a signature
                raise
            raise BadInput(f"{model} has no {' or '.join(styles)}", error.code) from None

    def metadata(self, model: str, version: VersionSpec = None) -> dict[str, Signature]:
        """The signatures of a model by name.

        Raises:
            ModelNotFound: no such model, version or label; otherwise as `run`.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=_spec(model, version), metadata_field=["signature_def"]
        )
        call = self._predictions.GetModelMetadata
        response = self._call(call, request, _named(model, version))
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {
            name: Signature(_infos(signature.inputs), _infos(signature.outputs))
            for name, signature in signatures.signature_def.items()
            if not name.startswith("__")  # TensorFlow's own, such as __saved_model_init_op
        }

    def status(self, model: str) -> list[VersionStatus]:
        """Every version of a model that the server knows of, as it lists them.

        Raises:
            ModelNotFound: the server knows of none.
        """
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(model, None))
        response = self._call(self._models.GetModelStatus, request, model)
        return [
            VersionStatus(
                entry.version,
                get_model_status_pb2.ModelVersionStatus.State.Name(entry.state),
                " ".join(entry.status.error_message.split()),
            )
            for entry in response.model_version_status
        ]

    def wait_available(self, model: str, version: int, timeout: float) -> None:
        """Return when a version answers requests.

        Args:
            model: its name.
            version: its number.
            timeout: seconds to wait; the server itself may come up meanwhile.

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

    def reload_config(self, config: Any) -> None:
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
        request = health_pb2.HealthCheckRequest()
        try:
            response = self._health.Check(request, timeout=min(self.timeout, 2.0))
        except grpc.RpcError as error:
            # TensorFlow Serving has no health service, but it answers.
            return bool(error.code() == grpc.StatusCode.UNIMPLEMENTED)
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    def _call(
        self, call: Callable[..., Any], request: Any, subject: str, timeout: float | None = None
    ) -> Any:
        """Call with a deadline; while the server is unavailable, try again a little later."""
        now = time.monotonic()
        deadline = now + (timeout or self.timeout)
        last_try = min(deadline, now + self.patience)
        wait = _FIRST_WAIT
        while True:
            try:
                return call(request, timeout=max(deadline - time.monotonic(), 0.001))
            except grpc.RpcError as error:
                unavailable = error.code() == grpc.StatusCode.UNAVAILABLE
                if not unavailable or time.monotonic() + wait > last_try:
                    raise self._error(error, subject) from None
            time.sleep(wait * random.uniform(0.8, 1.0))
            wait = min(2 * wait, _LONGEST_WAIT)

    def _error(self, error: Any, subject: str) -> ServerError:
        code = error.code().name
        details = " ".join((error.details() or "").split())
        if code == "UNAVAILABLE" and not details.startswith(_NOBODY):
            return ServerDown(f"the model server at {self.address} is unavailable: {details}", code)
        if code == "UNAVAILABLE":
            return ServerDown(
                f"no model server answers at {self.address}: start one with `celflow up` or "
                "`celflow serve`, or name another with --server",
                code,
            )
        if code == "NOT_FOUND" or details.startswith("Unrecognized servable version label"):
            return ModelNotFound(
                f"the model server at {self.address} does not serve {subject} ({details})", code
            )
        if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"):
            return BadInput(f"the model server refuses {subject}: {details}", code)
        if code == "DEADLINE_EXCEEDED":
            return ServerError(
                f"the model server at {self.address} took too long over {subject}", code
            )
        return ServerError(f"the model server at {self.address} failed: {details or code}", code)


def _spec(model: str, version: VersionSpec, signature: str = "") -> Any:
    spec = model_pb2.ModelSpec(name=model, signature_name=signature)
    if isinstance(version, str):
        spec.version_label = version
    elif version is not None:
        spec.version.value = version
    return spec


def _named(model: str, version: VersionSpec) -> str:
    if version is None:
        return model
    return (
        f"{model} labelled {version}" if isinstance(version, str) else f"{model} version {version}"
    )


def _batch(images: Sequence[bytes]) -> Array:
    if isinstance(images, bytes) or not all(isinstance(image, bytes) for image in images):
        raise BadInput("images must be a list with the bytes of one file each", "INVALID_ARGUMENT")
    if not images:
        raise BadInput("there is no image to send", "INVALID_ARGUMENT")
    array = np.empty(len(images), object)
    array[:] = images
    return array


def _infos(tensors: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            dtype_name(info.dtype),
            None
            if info.tensor_shape.unknown_rank
            else tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in tensors.items()
    }
