"""Which versions of which models are loaded, and which of them answers a request.

Requests read one immutable mapping and take no lock; one thread at a time makes changes, by
replacing the mapping. Whatever changes, the order is the same: load and warm up the new versions,
move the labels, unload the old versions. A request holds its version for as long as it runs.
"""

import gc
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import grpc

from serving.protos import model_pb2, model_server_config_pb2
from serving.server import memory
from serving.server.repository import model_config, versions
from serving.server.repository.load_failures import LoadFailures
from serving.server.repository.served_model import LoadStatus, ServedModel, State
from serving.server.runtime.servable import Servable
from serving.server.status import StatusError, invalid, one_line

log = logging.getLogger(__name__)


class Manager:
    """Keeps what is served equal to what the config and the folders ask for.

    Args:
        load: name, version and folder to a servable that is ready for requests; raises on failure.
        allow_labels_for_unavailable: let a label that is new name a version that is not available.
        retries: how often a poll tries a version again that has failed.
        retry_seconds: time between two such tries.
    """

    def __init__(
        self,
        load: Callable[[str, int, Path], Servable],
        allow_labels_for_unavailable: bool = False,
        retries: int = 0,
        retry_seconds: float = 0.0,
    ) -> None:
        self._load = load
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._changes = threading.Lock()
        self._models: Mapping[str, ServedModel] = MappingProxyType({})
        self._states: Mapping[str, Mapping[int, LoadStatus]] = MappingProxyType({})
        self._configs: dict[str, model_server_config_pb2.ModelConfig] = {}
        self._failures = LoadFailures(retries, retry_seconds)
        self._first_config_applied = False
        self._warned: dict[str, str] = {}

    # Called by requests: takes no lock.

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
            if self._first_config_applied:
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

    # Changes what is served: one thread at a time.

    def apply(
        self, config: model_server_config_pb2.ModelServerConfig, keep_trying: bool = True
    ) -> None:
        """Serve what a `ModelServerConfig` says; returns when its versions are loaded or have
        failed.

        Args:
            config: it replaces the one before; models that it does not list are unloaded.
            keep_trying: labels that cannot be moved now are moved by a later `poll`, once their
                versions are available; otherwise the labels in force become those of the config.

        Raises:
            StatusError: INVALID_ARGUMENT and nothing has changed; FAILED_PRECONDITION where a label
                names a version that is not available (it stays where it was, all else is done);
                UNKNOWN where a version failed to load (what it should replace stays loaded) or a
                model has none.
        """
        model_config.check(config)
        with self._changes:
            self._configs = {model.name: model for model in config.model_config_list.config}
            self._failures.clear()  # somebody asked for it, so failed versions are tried again
            problems = self._reconcile()
            self._first_config_applied = True
            if problems.labels and not keep_trying:
                for name, model in self._configs.items():
                    model.version_labels.clear()
                    model.version_labels.update(self._models.get(name, ServedModel()).labels)
        if problems.labels:
            raise StatusError(grpc.StatusCode.FAILED_PRECONDITION, "; ".join(problems.labels))
        if problems.loads:
            names = ", ".join(problems.loads)
            raise StatusError(
                grpc.StatusCode.UNKNOWN, f"Some models did not become available: {{{names}}}"
            )

    def poll(self) -> None:
        """Look at the folders again, and load new versions and those that `LoadFailures` says."""
        with self._changes:
            self._reconcile()

    def _reconcile(self) -> "_Problems":
        problems = _Problems()
        for name in self._models.keys() - self._configs.keys():
            self._replace(name, {}, {})
        for name, config in self._configs.items():
            base_path = Path(config.base_path)
            served = self._models.get(name, ServedModel())
            found = versions.on_disk(base_path, served.versions)
            missing_folder = "" if found else _no_versions(name, base_path, found)
            self._warn_once(f"{name} folder", missing_folder)
            if missing_folder and not served.versions:
                problems.loads.append(missing_folder)
            # A base path that is gone for a moment (a remount, a rename) unloads nothing.
            wanted = set(served.versions) if found is None else versions.wanted(config, found)
            for version in sorted(wanted - served.versions.keys(), reverse=True):
                self._try_to_load(name, version, (found or {})[version])
            served = self._models.get(name, ServedModel())

            labels, refused = self._labels(name, config, served)
            self._warn_once(f"{name} labels", "; ".join(refused))
            problems.labels += refused
            missing = wanted - served.versions.keys()
            problems.loads += [
                f"{name} {version}: {self._states[name][version].message}"
                for version in sorted(missing)
            ]
            keep = wanted | set(labels.values()) if not missing else set(served.versions)
            kept = {v: servable for v, servable in served.versions.items() if v in keep}
            self._replace(name, kept, labels)
        return problems

    def _try_to_load(self, name: str, version: int, folder: Path) -> None:
        files = versions.fingerprint(folder)
        if not self._failures.is_due(name, version, files):
            return
        log.info("Loading servable version {name: %s version: %d} from %s", name, version, folder)
        self._set_state(name, LoadStatus(version, State.LOADING))
        try:
            servable = self._load(name, version, folder)
        except Exception as error:
            if not isinstance(error, StatusError):
                error = StatusError(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")
            log.error("Loading {name: %s version: %d} failed: %s", name, version, error)
            self._failures.add(name, version, files)
            status = LoadStatus(version, State.END, error.code, one_line(str(error)))
            self._set_state(name, status)
            return
        self._failures.discard(name, version)
        served = self._models.get(name, ServedModel())
        self._publish(name, ServedModel({**served.versions, version: servable}, served.labels))
        self._set_state(name, LoadStatus(version, State.AVAILABLE))
        log.info("Successfully loaded servable version {name: %s version: %d}", name, version)

    def _labels(
        self, name: str, config: model_server_config_pb2.ModelConfig, served: ServedModel
    ) -> tuple[dict[str, int], list[str]]:
        """The labels to put in force, and why some of the config's cannot be."""
        labels: dict[str, int] = {}
        refused = []
        for label, version in sorted(config.version_labels.items()):
            new = label not in served.labels
            in_force = served.labels.get(label) == version
            allowed = new and self._allow_labels_for_unavailable
            if version in served.versions or in_force or allowed:
                labels[label] = version
                continue
            refused.append(
                f"Request to assign label {label} to version {version} of model {name}, "
                "which is not currently available for inference"
            )
            if not new:
                labels[label] = served.labels[label]
        return labels, refused

    def _replace(self, name: str, kept: Mapping[int, Servable], labels: Mapping[str, int]) -> None:
        """Serve exactly `kept` under `labels`; all other versions of the model are unloaded."""
        served = self._models.get(name, ServedModel())
        dropped = sorted(served.versions.keys() - kept.keys())
        for version in dropped:
            self._set_state(name, LoadStatus(version, State.UNLOADING))
        for label in sorted(labels):
            if served.labels.get(label) != labels[label]:
                log.info("Label %s of %s is now version %d", label, name, labels[label])
        self._publish(name, ServedModel(kept, labels) if kept or labels else None)
        del served
        for version in dropped:
            self._set_state(name, LoadStatus(version, State.END))
            log.info("Unloaded servable version {name: %s version: %d}", name, version)
        if dropped:
            gc.collect()  # a loaded model is full of cycles; give its memory back now
            memory.give_back_soon()

    def _publish(self, name: str, model: ServedModel | None) -> None:
        models = {**self._models, name: model}
        self._models = MappingProxyType({n: m for n, m in models.items() if m is not None})

    def _set_state(self, name: str, status: LoadStatus) -> None:
        versions_of_it = {**self._states.get(name, {}), status.version: status}
        self._states = MappingProxyType({**self._states, name: versions_of_it})

    def _warn_once(self, topic: str, line: str) -> None:
        """Log a warning unless the last one on this topic was the same: not on every poll."""
        if line and self._warned.get(topic) != line:
            log.warning("%s", line)
        self._warned[topic] = line


@dataclass
class _Problems:
    labels: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)


def _not_found(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.NOT_FOUND, message)


def _no_versions(name: str, base_path: Path, found: dict[int, Path] | None) -> str:
    what = "Could not find base path" if found is None else "No versions found under base path"
    return f"{what} {base_path} for servable {name}"
