"""Add a character to a recogniser, or remove one, without training.

Both make a new registered version from an old one: the same encoder with another gallery, the
reference embedding of each character that it recognises.
"""

import json
import unicodedata
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import mlflow
import numpy as np

from celflow import lineage, metrics, parallel, registry
from celflow.errors import UserError
from celflow.images import BadImage
from celflow.params import Params
from stages import facecrop
from stages.face_finder import FindFaces, face_finder
from stages.models.common.saved_model import write_saved_model

if TYPE_CHECKING:
    from stages.models.character_embedding.gallery import Gallery
    from stages.models.character_embedding.recogniser import Recogniser

RESERVED = (metrics.UNKNOWN, metrics.UNSURE)
BATCH = 32  # faces that are encoded at once


def enroll(
    name: str, pictures: Path, base: registry.RegisteredVersion, params: Params
) -> tuple[registry.RegisteredVersion, list[str]]:
    """A version of `base` that also recognises `name`, from a folder of pictures.

    Returns the version, and a line for each file that could not be used.

    Raises:
        UserError: the name is taken or not allowed, no picture of the folder shows a face, or
            `base` is no recogniser.
    """
    if _alike(name) in RESERVED or not _is_name(name):
        raise UserError(f"'{name}' can't be a character's name: choose another")
    if not pictures.is_dir():
        raise UserError(f"no folder {pictures}: name one with pictures of {name}")
    files = sorted(path for path in pictures.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"{pictures} is empty: put pictures of {name} there")
    with registry.saved_model(base) as folder:
        recogniser = _load(base, folder)
        known = {_alike(known): known for known in recogniser.gallery.names}.get(_alike(name))
        if known is not None:
            raise UserError(
                f"{base.model} version {base.version} knows {known} already: `celflow forget "
                f"{known}`, then enroll with --version and the number that it prints"
            )
        crop = partial(_face, find=face_finder(params), on_miss=params.facecrop.on_miss)
        found = parallel.parallel_map(crop, files, parallel.THREADS, "find faces")
        faces = [face for face in found if not isinstance(face, str)]
        left_out = [
            f"{file}: {reason}"
            for file, reason in zip(files, found, strict=True)
            if isinstance(reason, str)
        ]
        if not faces:
            raise UserError(f"no picture in {pictures} shows a face ({'; '.join(left_out[:5])})")
        gallery = recogniser.gallery.adding(name, _embeddings(recogniser, faces))
        change = {"enrolled": name, "faces": str(len(faces))}
        return _register(base, recogniser, gallery, change), left_out


def forget(name: str, base: registry.RegisteredVersion) -> registry.RegisteredVersion:
    """A version of `base` that no longer recognises `name`.

    Raises:
        UserError: `base` does not know the name or knows no other, or is no recogniser.
    """
    with registry.saved_model(base) as folder:
        recogniser = _load(base, folder)
        names = recogniser.gallery.names
        if name not in names:
            known = ", ".join(names)
            raise UserError(f"{base.model} version {base.version} knows no {name}: it has {known}")
        if names == [name]:
            raise UserError(
                f"{name} is the last one that {base.model} version {base.version} knows: "
                "enroll another first"
            )
        return _register(base, recogniser, recogniser.gallery.without(name), {"forgotten": name})


def _is_name(name: str) -> bool:
    """Whether a name can stand in answers, and be that of a folder."""
    return (
        bool(name) and name.isprintable() and name == name.strip() and "/" not in name
        and name not in (".", "..")
    )  # fmt: skip


def _alike(name: str) -> str:
    """The same for names that people take for one: Juno and juno, or ｊｕｎｏ."""
    return unicodedata.normalize("NFKC", name).casefold()


def _load(base: registry.RegisteredVersion, folder: Path) -> "Recogniser":
    from stages.models.character_embedding.recogniser import Recogniser

    try:
        return Recogniser.load(folder)
    except UserError as error:
        raise UserError(f"{base.model} version {base.version} can't learn names: {error}") from None


def _face(file: Path, find: FindFaces, on_miss: str) -> np.ndarray | str:
    """The largest face of a picture, uint8 [h, w, 3], or the reason why there is none."""
    try:
        face, _ = facecrop.largest_face(file, find, on_miss)
    except BadImage as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return "no face found" if face is None else face


def _embeddings(recogniser: "Recogniser", faces: list[np.ndarray]) -> np.ndarray:
    """Embeddings, float32 [N, D], of faces of any size, uint8 [h, w, 3] each."""
    import tensorflow as tf

    from stages.models.common.image_ops import resize

    batches = [
        recogniser.encoder.encode(
            tf.stack([resize(face, recogniser.side) for face in faces[i : i + BATCH]])
        )
        for i in range(0, len(faces), BATCH)
    ]
    return np.concatenate([batch.numpy() for batch in batches])


def _register(
    base: registry.RegisteredVersion,
    recogniser: "Recogniser",
    gallery: "Gallery",
    change: dict[str, str],
) -> registry.RegisteredVersion:
    """Register the recogniser with another gallery; the same content gives the same version.

    change: what was done, for the tags and the run.
    """
    from stages.models.character_embedding.recogniser import Recogniser

    changed = Recogniser(recogniser.encoder, recogniser.side, gallery)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        card = write_saved_model(changed, base.model, base.tags["task"], gallery.names, folder)
        known = registry.with_content(base.model, card["content"])
        if known is not None:
            return known
        with registry.run(base.model) as active:
            mlflow.log_params({**change, "names": len(gallery.names)})
            mlflow.set_tags({**change, "from_version": str(base.version)})
            mlflow.log_dict(card, "card.json")
        # Encoder, data and parameters are those of the old version; its metrics are not.
        kept = ("task", "data_hash", "params_hash", "dvc_stage")
        tags = {
            **{key: base.tags[key] for key in kept if key in base.tags},
            **change,
            "from_version": str(base.version),
            "labels": json.dumps(gallery.names),
            "git_commit": lineage.git_commit(),
            "gate": "not compared yet",
        }
        saved_model = folder / "saved_model"
        return registry.register(
            base.model, active.info.run_id, saved_model, card["content"], tags
        )[0]
