"""Which versions of which models are loaded, and which of them answers a request.

Requests read one immutable mapping and take no lock; one change at a time is made, by replacing the
mapping. Whatever changes, the order is the same: load and warm up the new versions,
move the labels, unload the old versions. A request holds its version for as long as it runs.
"""

import gc
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from serving.protos import model_server_config_pb2
from serving.server import memory
from serving.server.repository import model_config, versions
from serving.server.repository.base_paths import BasePaths
from serving.server.repository.labels import labels_in_force
from serving.server.repository.load_failures import LoadFailures
from serving.server.repository.published import Published
from serving.server.repository.served_model import LoadStatus, ServedModel, State
from serving.server.runtime.servable import Servable
from serving.server.status import StatusError, one_line

log = logging.getLogger(__name__)


class Manager(Published):
    """Keeps what is served equal to what the config and the folders ask for.

    Args:
        load: name, version and folder to a servable that is ready for requests; raises on failure.
        allow_labels_for_unavailable: let a label that is new name a version that is not available.
        retries: how often a poll tries a version again that has failed.
        retry_seconds: time between two such tries.
        configured: is called with each config, before it is followed.
        load_threads: models that load side by side; 0: one after the other.

    """

    def __init__(
        self,
        load: Callable[[str, int, Path], Servable],
        allow_labels_for_unavailable: bool = False,
        retries: int = 0,
        retry_seconds: float = 0.0,
        configured: Callable[[model_server_config_pb2.ModelServerConfig], None] = lambda _: None,
        load_threads: int = 0,
    ) -> None:
        super().__init__()
        self._load_threads = max(1, load_threads)
        self._load = load
        self._configured = configured
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._changes = threading.Lock()
        self._base_paths = BasePaths()
        self._configs: dict[str, model_server_config_pb2.ModelConfig] = {}
        self._failures = LoadFailures(retries, retry_seconds)
        self._warned: dict[str, str] = {}
        self._folders: dict[str, dict[int, Path]] = {}  # of the versions that are loaded

    def close(self) -> None:
        """Remove what was copied from object stores; only when nothing is loaded any more."""
        self._base_paths.remove()

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
            self._configured(config)
            self._configs = {model.name: model for model in config.model_config_list.config}
            self._failures.clear()  # somebody asked for it, so failed versions are tried again
            problems = self._reconcile()
            self.first_config_applied = True
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
        for name in self._models.keys() - self._configs.keys():
            self._replace(name, {}, {})
        if self._load_threads == 1:
            found = [self._reconcile_model(config) for config in self._configs.values()]
        else:
            with ThreadPoolExecutor(self._load_threads, "load") as pool:
                found = list(pool.map(self._reconcile_model, self._configs.values()))
        labels = [line for problems in found for line in problems.labels]
        return _Problems(labels, [line for problems in found for line in problems.loads])

    def _reconcile_model(self, config: model_server_config_pb2.ModelConfig) -> "_Problems":
        problems = _Problems()
        name, base_path = config.name, self._base_paths.local(config.base_path)
        served = self._models.get(name, ServedModel())
        found = versions.on_disk(base_path, served.versions)
        missing_folder = "" if found else versions.no_versions_message(name, base_path, found)
        self._warn_once(f"{name} folder", missing_folder)
        if missing_folder and not served.versions:
            problems.loads.append(missing_folder)
        # A base path that is gone for a moment (a remount, a rename) unloads nothing.
        wanted = set(served.versions) if found is None else versions.wanted(config, found)
        absent = set() if found is None else versions.absent(config, found)
        for version in sorted(absent - served.versions.keys()):
            self._note_absent(name, version)
        folders = {} if found is None else {version: found[version] for version in wanted}
        for version in sorted(self._missing(name, folders), reverse=True):
            self._try_to_load(name, version, folders[version])
        served = self._models.get(name, ServedModel())
        if absent and not served.versions:
            problems.loads.append(f"{name} {min(absent)}: it is not in {base_path}")

        labels, refused = labels_in_force(config, served, self._allow_labels_for_unavailable)
        self._warn_once(f"{name} labels", "; ".join(refused))
        problems.labels += refused
        missing = self._missing(name, folders)
        problems.loads += [
            f"{name} {version}: {self._states[name][version].message}"
            for version in sorted(missing)
        ]
        complete = not missing and not absent
        keep = wanted | set(labels.values()) if complete else set(served.versions)
        kept = {v: servable for v, servable in served.versions.items() if v in keep}
        self._replace(name, kept, labels)
        return problems

    def _missing(self, name: str, folders: Mapping[int, Path]) -> set[int]:
        """The versions that are not loaded, or from another folder."""
        loaded = self._models.get(name, ServedModel()).versions.keys()
        from_folders = self._folders.get(name, {})
        return {v for v in folders if v not in loaded or from_folders[v] != folders[v]}

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
            loaded = version in self._models.get(name, ServedModel()).versions
            state = State.AVAILABLE if loaded else State.END  # from another folder, as before
            self._set_state(name, LoadStatus(version, state, error.code, one_line(str(error))))
            return
        self._failures.discard(name, version)
        served = self._models.get(name, ServedModel())
        replaces = version in served.versions
        self._folders.setdefault(name, {})[version] = folder
        self._publish(name, ServedModel({**served.versions, version: servable}, served.labels))
        self._set_state(name, LoadStatus(version, State.AVAILABLE))
        log.info("Successfully loaded servable version {name: %s version: %d}", name, version)
        if replaces:
            del served
            _collect()

    def _note_absent(self, name: str, version: int) -> None:
        message = versions.absent_message(name, version)
        self._warn_once(f"{name} {version}", message)
        self._set_state(name, LoadStatus(version, State.END, grpc.StatusCode.NOT_FOUND, message))

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
            _collect()

    def _warn_once(self, topic: str, line: str) -> None:
        """Log a warning unless the last one on this topic was the same: not on every poll."""
        if line and self._warned.get(topic) != line:
            log.warning("%s", line)
        self._warned[topic] = line


def _collect() -> None:
    """Give an unloaded model's memory back: it is full of cycles."""
    gc.collect()
    memory.give_back_soon()


@dataclass
class _Problems:
    labels: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
