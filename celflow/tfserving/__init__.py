"""MLflow's deployment target `tfserving`: any TensorFlow model of MLflow behind a model server.

    mlflow deployments create -t tfserving --name digits -m models:/digits/3
    mlflow deployments predict -t tfserving --name digits -I rows.json

The model's SavedModel is copied below tfserving/ in this folder, with the config that TensorFlow
Serving reads; the server that comes with celflow is started where none answers. Runs in an
installed wheel, without a checkout, and loads no TensorFlow into MLflow's process.
"""

import base64
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import mlflow
import pandas as pd
from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException

from celflow import rooms
from celflow.errors import UserError
from celflow.tfserving.place import Deployment, Place, valid
from celflow.tfserving.server import GRPC_PORT, REST_PORT, Server

_FLAVORS = ("tensorflow", "keras")
_KERAS_FILES = ("*.keras", "*.h5")


def target_help() -> str:
    """What `mlflow deployments help -t tfserving` prints."""
    return f"""
The target `tfserving` puts a TensorFlow or Keras model of MLflow behind the API of TensorFlow
Serving, gRPC and REST.

Target: `tfserving`, or `tfserving:/FOLDER`. Models and models.config are kept in the folder
(tfserving/ in the current one); a TensorFlow Serving of your own can read it.

Config (-C NAME=VALUE):
  port, rest_port   of the server that is started where none answers ({GRPC_PORT}, {REST_PORT})
  server=none       start none: your own reads the folder, and is asked at rest_port
  trust=true        take a model whose graph touches files, network or Python; it runs with your
                    rights

Deleting the last deployment stops the server.
"""


def run_local(
    name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, str] | None = None
) -> None:
    """The same as `create`: the server runs on this machine."""
    DeploymentClient("tfserving").create_deployment(name, model_uri, flavor, config)


class DeploymentClient(BaseDeploymentClient):  # type: ignore[misc]
    """MLflow's interface; every error is an MlflowException of one line."""

    def __init__(self, target_uri: str) -> None:
        """target_uri: `tfserving`, or `tfserving:/FOLDER`."""
        super().__init__(target_uri)
        path = urlparse(target_uri).path if ":" in target_uri else ""
        self._place = Place(Path(path or "tfserving"))

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, str] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Serve a model under a new name; returns when it answers."""
        with _mlflow_errors():
            if not valid(name):
                raise UserError(f"a deployment can't be named {name!r}: letters, digits, _ . -")
            if self._place.get(name):
                raise UserError(f"there is a deployment {name} already: update or delete it")
            return self._deploy(name, model_uri, flavor, config or {})

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, str] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Serve another model under a name: the one before it answers until this one does."""
        with _mlflow_errors():
            before = self._known(name)
            return self._deploy(name, model_uri or before.model_uri, flavor, config or {})

    def delete_deployment(
        self, name: str, config: Mapping[str, str] | None = None, endpoint: str | None = None
    ) -> None:
        """Serve it no more, and remove its files; a name that is not there is no error."""
        with _mlflow_errors():
            server = self._server(config or {})
            if self._place.get(name) is None:
                return
            self._place.remove(name)
            if server.answers():
                if len(self._place.deployments()) == 1:
                    server.stop()
                else:
                    server.wait_gone(name)
            self._place.clean(name)

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Name, model, flavor and version of each."""
        return [_as_dict(one) for one in self._place.deployments()]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """What it is, its state in the server and its address."""
        with _mlflow_errors():
            known, server = self._known(name), self._server({})
            state = "no server answers"
            if server.answers():
                state = server.states(name).get(known.version, ("not loaded", ""))[0]
            address = f"{server.url}/v1/models/{name}:predict"
            return {**_as_dict(known), "state": state, "url": address}

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> PredictionsResponse:
        """Predictions for a table, an array, rows, or a request in TensorFlow Serving's JSON.

        inputs: columns of a table are the model's inputs, where they have their names; otherwise
            its rows are. Bytes are sent as they are.
        """
        with _mlflow_errors():
            name = self._known(str(deployment_name)).name
            server = self._server({})
            if not server.answers():
                raise UserError(
                    f"no model server answers at {server.url}: update {name} starts one"
                )
            body = _request(inputs, set(server.inputs(name)))
            return PredictionsResponse({"predictions": server.predict(name, body)})

    def _known(self, name: str) -> Deployment:
        found = self._place.get(name)
        if found is None:
            names = ", ".join(one.name for one in self._place.deployments()) or "none"
            raise UserError(f"no deployment {name} in {self._place.folder}: there are {names}")
        return found

    def _server(self, config: Mapping[str, str]) -> Server:
        try:
            ports = int(config.get("port", GRPC_PORT)), int(config.get("rest_port", REST_PORT))
        except ValueError as error:
            raise UserError(f"-C port and -C rest_port are numbers: {error}") from error
        return Server(self._place.folder, ports)

    def _deploy(
        self, name: str, model_uri: str, flavor: str | None, config: Mapping[str, str]
    ) -> dict[str, Any]:
        if flavor not in (None, *_FLAVORS):
            raise UserError(f"flavor {flavor} can't be served: {' or '.join(_FLAVORS)} can")
        server = self._server(config)
        version = self._place.next_version(name)
        with tempfile.TemporaryDirectory() as temporary:
            artifacts = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=temporary))
            saved_model, found = _saved_model(artifacts, Path(temporary) / "exported")
            if config.get("trust", "").lower() != "true":
                _child("serving.scan", saved_model)
            made = Deployment(name, model_uri, flavor or found, version, time.time())
            self._place.add(saved_model, made)
        try:
            if server.answers():
                server.wait(name, version)
            elif config.get("server") != "none":
                server.start(self._place.config)
                server.wait(name, version)
        except BaseException:
            self._place.take_back(made)
            raise
        self._place.confirm(made)
        return _as_dict(made)


def _as_dict(deployment: Deployment) -> dict[str, Any]:
    return {
        "name": deployment.name,
        "flavor": deployment.flavor,
        "model_uri": deployment.model_uri,
        "version": deployment.version,
    }


def _saved_model(artifacts: Path, exported: Path) -> tuple[Path, str]:
    """The SavedModel in a model's artifacts, made of Keras's file where that is what there is."""
    for name in ("saved_model.pb", "saved_model.pbtxt"):
        if found := sorted(artifacts.rglob(name)):
            return found[0].parent, "tensorflow"
    for pattern in _KERAS_FILES:
        if found := sorted(artifacts.rglob(pattern)):
            _child("serving.scan.keras_export", found[0], exported)
            return exported, "keras"
    raise UserError(f"no SavedModel and no Keras model in {artifacts}: TensorFlow can't serve it")


def _child(module: str, *words: Path) -> None:
    """Run a module of another room to its end; its `error: ` line is ours."""
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, env=rooms.environment(), capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        reason = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
        advice = ". If you trust who made it, say -C trust=true" if module == "serving.scan" else ""
        raise UserError(reason.removeprefix("error: ") + advice)


def _request(inputs: Any, names: set[str]) -> dict[str, Any]:
    """A request in TensorFlow Serving's JSON."""
    if isinstance(inputs, Mapping) and {"instances", "inputs"} & set(inputs):
        return dict(inputs)
    if isinstance(inputs, pd.DataFrame):
        if names <= set(inputs.columns):
            return {"inputs": {name: _json(inputs[name].tolist()) for name in names}}
        return {"instances": _json(inputs.to_numpy().tolist())}
    if isinstance(inputs, Mapping):
        return {"inputs": {str(key): _json(value) for key, value in inputs.items()}}
    return {"instances": _json(inputs)}


def _json(value: Any) -> Any:
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return [_json(one) for one in value] if isinstance(value, list | tuple) else value


@contextmanager
def _mlflow_errors() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise MlflowException(str(error)) from error
