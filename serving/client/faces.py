"""Faces in a picture, by the detector that params.yaml names; clients and training see the same."""

from pathlib import Path

from celflow import faces
from celflow.faces import Box
from celflow.images import open_image
from celflow.params import FacecropConfig
from serving.client.client import Client

DETECTOR = "face_detector"  # a served model


def find_faces(client: Client, picture: bytes, config: FacecropConfig) -> list[Box]:
    """The faces in a picture, encoded as the server takes it, the largest first.

    `detector: auto` asks the served face detector, `classic` looks here, by the cascade and
    animeface, and with `none` the whole picture is a face.

    Raises:
        BadImage: this is no picture.
        UserError: `facecrop.cascade` in params.yaml names no cascade.
        ServerError: the face detector does not answer.
    """
    if config.detector == "auto":
        answer = client.predict(DETECTOR, [picture], "stable")
        boxes = [Box.of(*found.box) for found in answer.faces()[0]]
        return faces.largest_first(boxes, config.min_face)
    pixels = open_image(picture).pixels
    if config.detector == "none":
        return [Box(0, 0, pixels.shape[1], pixels.shape[0])]
    cascade = Path(config.cascade) if config.cascade else None
    return faces.detect(pixels, cascade, config.detect_side, config.min_face)
