"""Ask a served model which pile each picture belongs to."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from celflow import params
from celflow.errors import UserError
from celflow.faces import crop
from celflow.images import BadImage, encode_png, open_image
from celflow.params import FacecropConfig, Params, Task
from serving.client import BadInput, Client, ModelNotFound, ServerDown, ServerError, VersionSpec
from serving.client.faces import find_faces
from serving.client.in_flight import map_in_flight
from serving.client.pictures import sendable, why_refused

By = Literal["photo", "character"]
WAYS: tuple[By, ...] = get_args(By)
NO_FACE = "no face"
UNKNOWN = "unknown"
IN_FLIGHT = 32  # pictures that are read, or asked about, at a time

_TASKS: dict[By, Task] = {"photo": "cartoon_or_photo", "character": "characters"}


@dataclass(frozen=True)
class Verdict:
    """Where a picture belongs.

    score: of the pile's name, 0 to 1; None where nothing was asked.
    version: of the model that answered; 0 where none did.
    """

    pile: str
    score: float | None
    version: int


@dataclass(frozen=True)
class LeftOut:
    """Why a file can't be sorted."""

    reason: str


Ask = Callable[[Path], Verdict | LeftOut]


def model_for(by: By, config: Params) -> str:
    """The model that answers: the first of the task in params.yaml.

    Raises:
        UserError: there is none.
    """
    found = next((name for name in config.models if config.task(name) == _TASKS[by]), None)
    if found is None:
        raise UserError(f"{params.PARAMS_FILE} has no model of the task {_TASKS[by]}")
    return found


def asker(
    client: Client,
    model: str,
    version: VersionSpec,
    config: Params,
    content: Callable[[Path], bytes | Path] = lambda file: file,
) -> Ask:
    """A function from a file to its pile; safe to call from threads.

    A picture with several faces goes by the largest that is known.

    content: of a file, where it is not what lies at its path.

    Raises:
        UserError: the model does not say cartoon or photo, nor who somebody is.
    """
    if config.task(model) not in _TASKS.values():
        raise UserError(f"{model} draws or finds faces: sort by one that classifies")
    of_faces = config.task(model) == "characters"

    def ask(file: Path) -> Verdict | LeftOut:
        data = b""
        try:
            found = content(file)
            data = sendable(found if isinstance(found, bytes) else found.read_bytes())
            if of_faces:
                return _character(client, model, version, data, config.facecrop)
            answer = client.predict(model, [data], version)
            (best,) = answer.classifications()
        except OSError as error:
            return LeftOut(error.strerror or str(error))
        except BadImage as error:
            return LeftOut(str(error))
        except (ServerDown, ModelNotFound):
            raise
        except BadInput as error:
            return LeftOut(why_refused(data, error))
        except ServerError as error:  # about this one picture
            return LeftOut(str(error))
        return Verdict(best.verdict, best.score, answer.version)

    return ask


def verdicts(files: Iterable[Path], ask: Ask) -> Iterator[tuple[Path, Verdict | LeftOut]]:
    """Each file with its verdict, in the order of `files`; many are asked about at a time.

    Raises:
        ServerError: the server is down, or has no such model.
    """
    return map_in_flight(lambda file: (file, ask(file)), files, IN_FLIGHT)


def _character(
    client: Client, model: str, version: VersionSpec, picture: bytes, config: FacecropConfig
) -> Verdict:
    found = find_faces(client, picture, config)
    if not found:
        return Verdict(NO_FACE, None, 0)
    pixels = open_image(picture).pixels
    answer = client.predict(model, [encode_png(crop(pixels, face)) for face in found], version)
    faces = answer.classifications()
    best = next((face for face in faces if face.verdict != UNKNOWN), faces[0])
    return Verdict(best.verdict, best.score, answer.version)
