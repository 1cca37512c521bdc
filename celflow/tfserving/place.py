"""The files of a deployment: what a model server reads, and who put it there.

tfserving/models.config              TensorFlow Serving's config
tfserving/<name>/<version>/          a SavedModel; servers take the highest number
tfserving/<name>/deployment.json     where it comes from
"""

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from celflow.files import write_bytes

CONFIG = "models.config"
_ABOUT = "deployment.json"


@dataclass(frozen=True)
class Deployment:
    """A model that is served.

    Attributes:
        name: of the deployment.
        model_uri: as it was given.
        flavor: of MLflow.
        version: the number of its folder.
        created: seconds since 1970.
    """

    name: str
    model_uri: str
    flavor: str
    version: int
    created: float


class Place:
    """The folder of all deployments of a target."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def config(self) -> Path:
        """TensorFlow Serving's `--model_config_file`."""
        return self.folder / CONFIG

    def deployments(self) -> list[Deployment]:
        """All that are there, by name."""
        found = sorted(self.folder.glob(f"*/{_ABOUT}"))
        return [Deployment(**json.loads(path.read_text(encoding="utf-8"))) for path in found]

    def get(self, name: str) -> Deployment | None:
        """The one of this name, or None."""
        return next((one for one in self.deployments() if one.name == name), None)

    def next_version(self, name: str) -> int:
        """A number that no version of this name has."""
        return 1 + max(self._versions(name), default=0)

    def add(self, saved_model: Path, deployment: Deployment) -> None:
        """Take a SavedModel in, whole or not at all; servers see it at their next look."""
        folder = self.folder / deployment.name
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{deployment.version}"  # not a number, so no server looks at it
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(saved_model, beside)
        beside.rename(folder / str(deployment.version))
        self.write_config({*(one.name for one in self.deployments()), deployment.name})

    def confirm(self, deployment: Deployment) -> None:
        """It answers: write down what it is, and remove the versions before it."""
        text = json.dumps(asdict(deployment), indent=2) + "\n"
        write_bytes(self.folder / deployment.name / _ABOUT, text.encode())
        for version in self._versions(deployment.name) - {deployment.version}:
            shutil.rmtree(self.folder / deployment.name / str(version))

    def take_back(self, deployment: Deployment) -> None:
        """It does not answer: leave things as they were before `add`."""
        folder = self.folder / deployment.name
        shutil.rmtree(folder / str(deployment.version), ignore_errors=True)
        if not (folder / _ABOUT).exists():
            self.remove(deployment.name)

    def remove(self, name: str) -> None:
        """Servers drop it first, when they see the config; then call `clean`."""
        self.write_config({one.name for one in self.deployments()} - {name})

    def clean(self, name: str) -> None:
        """Remove the files of a deployment that no server reads any more."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def write_config(self, names: set[str]) -> None:
        """Write the config that serves these names."""
        entries = "".join(
            "  config {\n"
            f"    name: {json.dumps(name)}\n"
            f"    base_path: {json.dumps(str(self.folder / name), ensure_ascii=False)}\n"
            '    model_platform: "tensorflow"\n'
            "  }\n"
            for name in sorted(names)
        )
        write_bytes(self.config, f"model_config_list {{\n{entries}}}\n".encode())

    def _versions(self, name: str) -> set[int]:
        folder = self.folder / name
        return {int(p.name) for p in folder.glob("[0-9]*")} if folder.is_dir() else set()


def valid(name: str) -> bool:
    """Whether a deployment may have this name: it is a folder and part of an address."""
    return bool(re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name)) and name != CONFIG
