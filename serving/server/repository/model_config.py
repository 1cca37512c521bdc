"""The model config: which models to serve, from which folders, under which labels."""

import logging
from pathlib import Path

from celflow.errors import UserError
from serving.protos import model_server_config_pb2
from serving.server import request_log
from serving.server.repository import versions
from serving.server.repository.base_paths import is_absolute
from serving.server.status import StatusError, invalid
from serving.server.text_proto import read_text_proto

log = logging.getLogger(__name__)


def single_model(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """The config of a server started with --model_name and --model_base_path."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def below(folder: Path) -> model_server_config_pb2.ModelServerConfig:
    """The config of every model below a folder: of the folders in it that have a version."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    for path in sorted(folder.absolute().iterdir()) if folder.is_dir() else []:
        if versions.on_disk(path):
            config.model_config_list.config.add(
                name=path.name, base_path=str(path), model_platform="tensorflow"
            )
    return config


def read(path: Path) -> model_server_config_pb2.ModelServerConfig:
    """Read and check a `ModelServerConfig`; an empty file is an empty config.

    Raises:
        UserError: it cannot be read, is not a config, or contradicts itself; one line with the
            path.
    """
    config = read_text_proto(path, model_server_config_pb2.ModelServerConfig(), "model config")
    try:
        check(config)
    except StatusError as error:
        raise UserError(f"model config {path} is wrong: {error.message}") from None
    return config


def check(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Refuse what TensorFlow Serving refuses.

    Raises:
        StatusError: INVALID_ARGUMENT, naming the model.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("custom_model_config is not supported: give a model_config_list")
    names = set()
    for model in config.model_config_list.config:
        if not model.name:
            raise invalid("a model has no name")
        if model.name in names:
            raise invalid(f"Illegal to list model {model.name} multiple times in config")
        names.add(model.name)
        if not is_absolute(model.base_path):
            raise invalid(
                f"Expected model {model.name} to have an absolute path; "
                f"got base_path()={model.base_path}"
            )
        if (model.model_platform or "tensorflow") != "tensorflow":
            raise invalid(
                f"model {model.name}: model_platform {model.model_platform!r} is not tensorflow"
            )
        request_log.check(model)
        policy = model.model_version_policy
        if policy.WhichOneof("policy_choice") == "specific" and not policy.specific.versions:
            raise invalid(
                f"model {model.name}: its version policy is specific, but lists no version"
            )


class ModelsFolder:
    """The models below a folder, which may come and go while the server runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._config = model_server_config_pb2.ModelServerConfig()

    def read(self) -> model_server_config_pb2.ModelServerConfig:
        """The config, which `changed` compares with later."""
        self._config = below(self.path)
        return self._config

    def changed(self) -> model_server_config_pb2.ModelServerConfig | None:
        """The new config where there are other models than last time, otherwise None.

        A folder that is gone (a remount) counts as unchanged.
        """
        config = below(self.path)
        if config == self._config or not self.path.is_dir():
            return None
        self._config = config
        return config


class ConfigFile:
    """A config file that may change while the server runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._config: model_server_config_pb2.ModelServerConfig | None = None
        self._problem = ""

    def read(self) -> model_server_config_pb2.ModelServerConfig:
        """The config, which `changed` compares with later; raises as the function `read`."""
        self._stamp = self._stat()
        self._config = read(self.path)
        return self._config

    def changed(self) -> model_server_config_pb2.ModelServerConfig | None:
        """The new config where it differs from the last one that was read, otherwise None.

        A file that is gone, empty or broken (perhaps half written) counts as unchanged; one line is
        logged when that begins.
        """
        stamp = self._stat()
        if stamp is not None and stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            config = read(self.path)
            if config.WhichOneof("config") is None:
                raise UserError(f"model config {self.path} is empty")
        except UserError as error:
            if str(error) != self._problem:
                log.error("%s; the old config stays in force", error)
            self._problem = str(error)
            return None
        self._problem = ""
        if config == self._config:
            return None
        self._config = config
        return config

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
