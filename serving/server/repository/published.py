"""What requests see: immutable mappings, which they read without a lock."""

import threading
from collections.abc import Mapping
from types import MappingProxyType

import grpc

from serving.protos import model_pb2
from serving.server.repository.served_model import LoadStatus, ServedModel
from serving.server.runtime.servable import Servable
from serving.server.status import StatusError, invalid


class Published:
    """What is served, and how requests find it; models may be changed side by side.

    Attributes:
        first_config_applied: whether the loads of the first config are done.
    """

    def __init__(self) -> None:
        self.first_config_applied = False
        self._models: Mapping[str, ServedModel] = MappingProxyType({})
        self._states: Mapping[str, Mapping[int, LoadStatus]] = MappingProxyType({})
        self._publishing = threading.Lock()

    def find(self, spec: model_pb2.ModelSpec) -> Servable:
        """The servable for a `ModelSpec`: its version, its label, or the largest available version.

        Raises:
            StatusError: INVALID_ARGUMENT or NOT_FOUND, in TensorFlow Serving's words; UNAVAILABLE
                while the first versions are loading, when the real one does not listen yet.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        try:
            return self._find(spec)
        except StatusError:
            if self.first_config_applied:
                raise
            message = f"{spec.name} is not available: the server is still loading its models"
            raise StatusError(grpc.StatusCode.UNAVAILABLE, message) from None

    def _find(self, spec: model_pb2.ModelSpec) -> Servable:
        model = self._models.get(spec.name, ServedModel())
        version = self._version(spec, model)
        if version is None:
            if not model.versions:
                raise _not_found(f"Servable not found for request: Latest({spec.name})")
            version = max(model.versions)
        if version not in model.versions:
            raise _not_found(f"Servable not found for request: Specific({spec.name}, {version})")
        return model.versions[version]

    def status(self, spec: model_pb2.ModelSpec) -> list[LoadStatus]:
        """Every version of a model that was ever configured, the largest first; or the one that
        `spec` names.

        Raises:
            StatusError: INVALID_ARGUMENT or NOT_FOUND, in TensorFlow Serving's words.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        states = self._states.get(spec.name, {})
        version = self._version(spec, self._models.get(spec.name, ServedModel()))
        if version is not None:
            if version not in states:
                raise _not_found(f"Could not find version {version} of model {spec.name}")
            return [states[version]]
        if not states:
            raise _not_found(f"Could not find any versions of model {spec.name}")
        return [states[version] for version in sorted(states, reverse=True)]

    def is_known(self, name: str) -> bool:
        """Whether a config ever asked for a version of this model."""
        return name in self._states

    def available(self) -> list[tuple[str, int]]:
        """Name and version of all that is served, sorted."""
        models = self._models
        return sorted((name, version) for name in models for version in models[name].versions)

    @staticmethod
    def _version(spec: model_pb2.ModelSpec, model: ServedModel) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return int(spec.version.value)
        if choice == "version_label":
            if spec.version_label not in model.labels:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            return model.labels[spec.version_label]
        return None

    def _publish(self, name: str, model: ServedModel | None) -> None:
        """Serve this instead of what the model had; None: nothing."""
        with self._publishing:
            models = {**self._models, name: model}
            self._models = MappingProxyType({n: m for n, m in models.items() if m is not None})

    def _set_state(self, name: str, status: LoadStatus) -> None:
        with self._publishing:
            of_it = {**self._states.get(name, {}), status.version: status}
            self._states = MappingProxyType({**self._states, name: of_it})


def _not_found(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.NOT_FOUND, message)
