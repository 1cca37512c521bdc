"""Call a model server, the embedded one or TensorFlow Serving, over gRPC. Imports no TensorFlow.

    with Client() as client:
        answer = client.classify("xception", [Path("picture.png").read_bytes()], version="stable")
        print(answer[0].name, answer[0].score)

Threads may share a client; they use one connection. In asyncio, each call is
`await asyncio.to_thread(client.classify, "xception", [picture])`.
"""

from serving.client.client import Client
from serving.client.connection import ADDRESS_VARIABLE, DEFAULT_ADDRESS, default_address
from serving.client.errors import (
    BadInput,
    LoadFailed,
    Loading,
    ModelNotFound,
    ServerDown,
    ServerError,
)
from serving.client.model_info import SignatureInfo, TensorInfo, VersionStatus
from serving.client.predictions import Classification, FoundFace, Prediction
from serving.client.requests import STYLES, VersionSpec

__all__ = [
    "ADDRESS_VARIABLE",
    "DEFAULT_ADDRESS",
    "STYLES",
    "BadInput",
    "Classification",
    "Client",
    "FoundFace",
    "LoadFailed",
    "Loading",
    "ModelNotFound",
    "Prediction",
    "ServerDown",
    "ServerError",
    "SignatureInfo",
    "TensorInfo",
    "VersionSpec",
    "VersionStatus",
    "default_address",
]
